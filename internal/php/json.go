package php

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxJSONDepth is the depth at which json_decode fails. It counts the innermost
// value as a level too.
const maxJSONDepth = 512

var errJSON = errors.New("malformed JSON")

// Object is a JSON object. Of a repeated name the last value counts. Names are
// compared byte for byte. Decoding into structs would not do that, because
// encoding/json ignores case: "EXP" could stand in for "exp", and "ipaddresses"
// for "IPAddresses".
type Object map[string]any

// Values returns the members' values in the order of their names.
func (o Object) Values() []any {
	values := make([]any, 0, len(o))
	for _, name := range slices.Sorted(maps.Keys(o)) {
		values = append(values, o[name])
	}
	return values
}

// DecodeJSON returns the value of one JSON text: an Object, []any, string,
// json.Number, bool or nil. It fails where json_decode does.
func DecodeJSON(raw []byte) (any, error) {
	// The decoder would replace by U+FFFD what PHP refuses.
	if !utf8.Valid(raw) || !pairedSurrogates(raw) {
		return nil, errJSON
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, errJSON
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errJSON
	}
	return v, nil
}

// pairedSurrogates reports whether the other half follows every \u escape of half
// a UTF-16 pair.
func pairedSurrogates(raw []byte) bool {
	wantLow := false
	for {
		i := bytes.IndexByte(raw, '\\')
		if wantLow && i != 0 {
			return false
		}
		if i < 0 || len(raw) < i+2 {
			return true
		}
		raw = raw[i+1:]
		high, low := false, false
		if raw[0] == 'u' && len(raw) >= 5 {
			unit, _ := strconv.ParseUint(string(raw[1:5]), 16, 16) // the decoder refuses other text
			high, low = unit>>10 == 0xD800>>10, unit>>10 == 0xDC00>>10
		}
		if low != wantLow {
			return false
		}
		wantLow = high
		if raw = raw[1:]; high || low {
			raw = raw[4:]
		}
	}
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth++; depth >= maxJSONDepth {
		return nil, errJSON
	}
	if delim == '[' {
		list := []any{}
		for d.More() {
			v, err := decodeValue(d, depth)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	o := Object{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		if o[name.(string)], err = decodeValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return o, err
}
