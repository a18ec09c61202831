package php

import "strconv"

// Array is a PHP array of texts and of lists of texts. Its entries stand in the
// order in which their keys came.
type Array struct {
	Entries []Entry
	index   map[Key]int
	next    int64 // the key that an appended value gets
}

// Entry is one element of an Array.
type Entry struct {
	Key   Key
	Value Value
}

// Key is the key of an Entry: a name, or an integer if IsInt is true.
type Key struct {
	Name  string
	Int   int64
	IsInt bool
}

// Value is a text, or a list if List is not nil. A nil item of a list stands for
// a list within it.
type Value struct {
	Text string
	List []*string
}

// String returns the key as text.
func (k Key) String() string {
	if k.IsInt {
		return strconv.FormatInt(k.Int, 10)
	}
	return k.Name
}

// Get returns the value under a name that is not an integer.
func (a *Array) Get(name string) (value *Value, found bool) { return a.find(Key{Name: name}) }

func (a *Array) find(key Key) (*Value, bool) {
	i, found := a.index[key]
	if !found {
		return nil, false
	}
	return &a.Entries[i].Value, true
}

func (a *Array) set(key Key, value Value) {
	if old, found := a.find(key); found {
		*old = value
		return
	}
	if a.index == nil {
		a.index = map[Key]int{}
	}
	a.index[key] = len(a.Entries)
	a.Entries = append(a.Entries, Entry{key, value})
	if key.IsInt && key.Int >= a.next {
		a.next = key.Int + 1
	}
}

// keyOf returns the key that PHP makes of a text: an integer for a decimal number
// without a plus sign and without leading zeros, otherwise the text.
func keyOf(text string) Key {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return Key{Int: n, IsInt: true}
	}
	return Key{Name: text}
}

// Append adds the entries of b to a as array_merge does. A name of b replaces the
// same name of a. Integer keys are numbered anew, so that one of b never replaces
// one of a.
func (a *Array) Append(b *Array) {
	for _, e := range b.Entries {
		if e.Key.IsInt {
			e.Key.Int = a.next
		}
		a.set(e.Key, e.Value)
	}
}
