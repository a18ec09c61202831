package validator

import (
	"slices"
	"strconv"
	"strings"
)

// phpKey is a key of a PHP array: a name, or an integer.
type phpKey struct {
	name    string
	integer int64
	isInt   bool
}

// phpValue is a text, or a list: then list is not nil, and a nil item stands for a list within it.
type phpValue struct {
	text string
	list []*string
}

type phpEntry struct {
	key   phpKey
	value phpValue
}

// phpArray is a PHP array: keys in the order in which they came.
type phpArray struct {
	entries []phpEntry
	index   map[phpKey]int
	next    int64 // the key that an appended value gets
}

func (a *phpArray) find(key phpKey) (*phpValue, bool) {
	i, found := a.index[key]
	if !found {
		return nil, false
	}
	return &a.entries[i].value, true
}

func (a *phpArray) get(name string) (*phpValue, bool) { return a.find(phpKey{name: name}) }

func (a *phpArray) set(key phpKey, value phpValue) {
	if old, found := a.find(key); found {
		*old = value
		return
	}
	if a.index == nil {
		a.index = map[phpKey]int{}
	}
	a.index[key] = len(a.entries)
	a.entries = append(a.entries, phpEntry{key, value})
	if key.isInt && key.integer >= a.next {
		a.next = key.integer + 1
	}
}

// toPHPKey turns a name into an integer where PHP does: decimal, without a plus sign or leading zeros.
func toPHPKey(name string) phpKey {
	if n, err := strconv.ParseInt(name, 10, 64); err == nil && strconv.FormatInt(n, 10) == name {
		return phpKey{integer: n, isInt: true}
	}
	return phpKey{name: name}
}

// appendTo appends the entry as it is signed: every item of a list by itself, and a list within it as the word that
// PHP makes of one.
func (e phpEntry) appendTo(params []param) []param {
	name := e.key.name
	if e.key.isInt {
		name = strconv.FormatInt(e.key.integer, 10)
	}
	name = encode(name)
	if e.value.list == nil {
		return append(params, param{name, encode(e.value.text)})
	}
	for _, item := range e.value.list {
		value := "Array"
		if item != nil {
			value = encode(*item)
		}
		params = append(params, param{name, value})
	}
	return params
}

func encode(s string) string {
	length := 0
	for i := range len(s) {
		if length++; !unreserved[s[i]] {
			length += 2
		}
	}
	if length == len(s) {
		return s
	}
	return string(appendEncodedString(make([]byte, 0, length), s))
}

func decodeForm(s string) string { return decode(recode(s, true)) }

// phpMerge is array_merge as MediaWiki nests it: form and header into PHP's query, and all of that into the raw query.
// A later name replaces an earlier one; an integer key never does, but is numbered anew at each merge.
func phpMerge(rawQuery, get, form, header *phpArray) *phpArray {
	var inner, all phpArray
	for _, a := range []*phpArray{get, form, header} {
		inner.append(a)
	}
	all.append(rawQuery)
	all.append(&inner)
	return &all
}

func (a *phpArray) append(b *phpArray) {
	for _, e := range b.entries {
		if e.key.isInt {
			e.key.integer = a.next
		}
		a.set(e.key, e.value)
	}
}

// phpParse is the extension's own splitter of query and form: empty pieces are parameters with an empty name, and a
// repeated name becomes a list.
func phpParse(text string) *phpArray {
	var a phpArray
	if text == "" || text == "0" {
		return &a
	}
	for piece := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(piece, "=")
		key, text := toPHPKey(decodeForm(name)), decodeForm(value)
		old, found := a.find(key)
		switch {
		case !found:
			a.set(key, phpValue{text: text})
		case old.list == nil:
			first := old.text
			*old = phpValue{list: []*string{&first, &text}}
		default:
			old.list = append(old.list, &text)
		}
	}
	return &a
}

// phpHeader finds every oauth_name=value of the header, quoted or up to the next comma, wherever it stands. Of a
// name that is given twice the last counts.
func phpHeader(line string) *phpArray {
	var a phpArray
	for {
		start := strings.Index(line, "oauth_")
		if start < 0 {
			return &a
		}
		end := start
		for end < len(line) && ('a' <= line[end] && line[end] <= 'z' || line[end] == '_' || line[end] == '-') {
			end++
		}
		name := line[start:end]
		if end == len(line) || line[end] != '=' {
			line = line[end:] // whatever begins within this run of letters ends with it
			continue
		}
		value := line[end+1:]
		quoted := strings.TrimPrefix(value, ":")
		if strings.HasPrefix(quoted, `"`) && strings.Contains(quoted[1:], `"`) {
			value, line, _ = strings.Cut(quoted[1:], `"`)
			if value == "0" { // empty() takes it for nothing
				value = ""
			}
		} else {
			value, _, _ = strings.Cut(value, ",")
			line = line[end+1+len(value):]
		}
		a.set(phpKey{name: name}, phpValue{text: decodeForm(value)})
	}
}

// The defaults of max_input_vars and max_input_nesting_level.
const (
	phpMaxInputVars = 1000
	phpMaxNesting   = 64
)

// phpGet is $_GET.
func phpGet(query string) *phpArray {
	root := phpTree{}
	vars := 0
	for piece := range strings.SplitSeq(query, "&") {
		if piece == "" {
			continue
		}
		if vars++; vars > phpMaxInputVars {
			break
		}
		name, value, _ := strings.Cut(piece, "=")
		root.register(decodeForm(name), decodeForm(value))
	}
	return root.flatten()
}

// phpTree is a PHP array of texts and arrays.
type phpTree struct {
	keys   []phpKey
	values map[phpKey]*phpNode
	next   int64
}

type phpNode struct {
	text string
	tree *phpTree
}

// register puts a variable where PHP does: a[b][]=1 into a list within an array.
func (t *phpTree) register(name, value string) {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	base, rest, bracket := strings.Cut(name, "[")
	if base == "" {
		return
	}
	mangle := strings.NewReplacer(" ", "_", ".", "_")
	var path []string // of indexes
	for level := 1; bracket; level++ {
		if level > phpMaxNesting {
			t.remove(toPHPKey(mangle.Replace(base)))
			return
		}
		index, after, closed := cutIndex(rest)
		if !closed {
			if len(path) == 0 { // no index after all
				base += "_" + strings.ReplaceAll(rest, "[", "_")
			}
			break
		}
		path = append(path, index)
		rest, bracket = strings.CutPrefix(after, "[")
	}
	key, known := toPHPKey(mangle.Replace(base)), true
	for _, index := range path {
		t = t.descend(key, known)
		key, known = toPHPKey(index), index != ""
	}
	t.put(key, known, &phpNode{text: value})
}

// cutIndex reads what stands between brackets. One white-space byte before the closing one makes it empty.
func cutIndex(s string) (index, after string, closed bool) {
	if len(s) > 1 && strings.Contains(phpBlanks, s[:1]) && s[1] == ']' {
		return "", s[2:], true
	}
	return strings.Cut(s, "]")
}

// descend gives the array under the key, in place of any text there.
func (t *phpTree) descend(key phpKey, known bool) *phpTree {
	if known {
		if node := t.values[key]; node != nil && node.tree != nil {
			return node.tree
		}
	}
	child := &phpTree{}
	t.put(key, known, &phpNode{tree: child})
	return child
}

// put sets a value under the key, or at the end of the array, unless that is the end of all integers.
func (t *phpTree) put(key phpKey, known bool, node *phpNode) {
	if !known {
		key = phpKey{integer: t.next, isInt: true}
		if t.values[key] != nil {
			return
		}
	}
	if t.values == nil {
		t.values = map[phpKey]*phpNode{}
	}
	if t.values[key] == nil {
		t.keys = append(t.keys, key)
	}
	t.values[key] = node
	if key.isInt && key.integer >= t.next {
		t.next = max(key.integer, key.integer+1) // the greatest integer stays the next
	}
}

func (t *phpTree) remove(key phpKey) {
	if t.values[key] != nil {
		delete(t.values, key)
		t.keys = slices.DeleteFunc(t.keys, func(k phpKey) bool { return k == key })
	}
}

// flatten gives what of the tree is signed: the second level as lists, what is deeper as no more than its presence.
func (t *phpTree) flatten() *phpArray {
	var a phpArray
	for _, key := range t.keys {
		node := t.values[key]
		value := phpValue{text: node.text}
		if node.tree != nil {
			value.list = []*string{}
			for _, k := range node.tree.keys {
				if item := node.tree.values[k]; item.tree == nil {
					value.list = append(value.list, &item.text)
				} else {
					value.list = append(value.list, nil)
				}
			}
		}
		a.set(key, value)
	}
	return &a
}
