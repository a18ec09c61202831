package php

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"slices"
	"strings"
)

// The defaults of max_input_vars and max_input_nesting_level.
const (
	maxVariables = 1000
	maxNesting   = 64
)

// Variables returns what PHP puts into $_GET for a query, and into $_POST for an
// URL-encoded form. Below the second level an array keeps only its place.
func Variables(query string) *Array {
	root := tree{}
	vars := 0
	for piece := range strings.SplitSeq(query, "&") {
		if piece == "" {
			continue
		}
		if vars++; vars > maxVariables {
			break
		}
		name, value, _ := strings.Cut(piece, "=")
		root.register(URLDecode(name), URLDecode(value))
	}
	return root.flatten()
}

// MultipartVariables returns what PHP puts into $_POST for a multipart form: its
// parts that are not files. ok is false if a part could not be read.
func MultipartVariables(body []byte, boundary string) (variables *Array, ok bool) {
	if boundary == "" {
		return new(Array), false
	}
	root := tree{}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxVariables {
		part, err := parts.NextRawPart()
		if err != nil {
			return root.flatten(), errors.Is(err, io.EOF)
		}
		if part.FileName() != "" || part.FormName() == "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return root.flatten(), false
		}
		root.register(part.FormName(), string(value))
	}
	return root.flatten(), true
}

// tree is a PHP array of texts and arrays, of any depth.
type tree struct {
	keys   []Key
	values map[Key]*element
	next   int64
}

type element struct {
	text string
	tree *tree
}

// register puts a variable where PHP does: a[b][]=1 goes into a list within an
// array.
func (t *tree) register(name, value string) {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	base, rest, bracket := strings.Cut(name, "[")
	if base == "" {
		return
	}
	mangle := strings.NewReplacer(" ", "_", ".", "_")
	var path []string // of indexes
	for level := 1; bracket; level++ {
		if level > maxNesting {
			t.remove(keyOf(mangle.Replace(base)))
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
	key, known := keyOf(mangle.Replace(base)), true
	for _, index := range path {
		t = t.descend(key, known)
		key, known = keyOf(index), index != ""
	}
	t.put(key, known, &element{text: value})
}

// cutIndex reads an index up to its closing bracket. An index of one blank is
// empty.
func cutIndex(s string) (index, after string, closed bool) {
	if len(s) > 1 && strings.Contains(Blanks, s[:1]) && s[1] == ']' {
		return "", s[2:], true
	}
	return strings.Cut(s, "]")
}

// descend returns the array under the key. If there is a text, an array replaces
// it.
func (t *tree) descend(key Key, known bool) *tree {
	if known {
		if node := t.values[key]; node != nil && node.tree != nil {
			return node.tree
		}
	}
	child := &tree{}
	t.put(key, known, &element{tree: child})
	return child
}

// put sets a value under the key. Without a key the value is appended, unless the
// greatest integer is taken as a key already.
func (t *tree) put(key Key, known bool, node *element) {
	if !known {
		key = Key{Int: t.next, IsInt: true}
		if t.values[key] != nil {
			return
		}
	}
	if t.values == nil {
		t.values = map[Key]*element{}
	}
	if t.values[key] == nil {
		t.keys = append(t.keys, key)
	}
	t.values[key] = node
	if key.IsInt && key.Int >= t.next {
		t.next = max(key.Int, key.Int+1) // the greatest integer has no successor
	}
}

func (t *tree) remove(key Key) {
	if t.values[key] != nil {
		delete(t.values, key)
		t.keys = slices.DeleteFunc(t.keys, func(k Key) bool { return k == key })
	}
}

// flatten returns the first level of the tree with the second as lists. An array
// on the second level becomes a nil item.
func (t *tree) flatten() *Array {
	var a Array
	for _, key := range t.keys {
		node := t.values[key]
		value := Value{Text: node.text}
		if node.tree != nil {
			value.List = []*string{}
			for _, k := range node.tree.keys {
				if item := node.tree.values[k]; item.tree == nil {
					value.List = append(value.List, &item.text)
				} else {
					value.List = append(value.List, nil)
				}
			}
		}
		a.set(key, value)
	}
	return &a
}
