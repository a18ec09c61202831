package validator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"strconv"
	"strings"
)

// apiMap is an associative array of an answer of the Action API. Its values are
// texts, lists and further arrays.
type apiMap struct {
	fields []apiField
	// content names the field that is the text of the XML element. Version 1 of
	// JSON and PHP calls it "*", and writes it last.
	content string
}

type apiField struct {
	name  string
	value any
}

// apiList is a list of an answer, with the name that its items have in XML.
type apiList struct {
	element string
	items   []any
}

// version1 returns a value as formatversion 1 has it.
func version1(value any) any {
	switch v := value.(type) {
	case apiMap:
		var old apiMap
		var content []apiField
		for _, f := range v.fields {
			f.value = version1(f.value)
			if f.name == v.content {
				content = append(content, apiField{"*", f.value})
			} else {
				old.fields = append(old.fields, f)
			}
		}
		old.fields = append(old.fields, content...)
		return old
	case apiList:
		list := apiList{element: v.element}
		for _, item := range v.items {
			list.items = append(list.items, version1(item))
		}
		return list
	}
	return value
}

// rawValue returns a value as the format rawfm has it, with MediaWiki's notes.
func rawValue(value any) any {
	var raw apiMap
	switch v := value.(type) {
	case apiMap:
		for _, f := range v.fields {
			raw.fields = append(raw.fields, apiField{f.name, rawValue(f.value)})
		}
		if v.content != "" {
			raw.fields = append(raw.fields, apiField{"_content", v.content})
		}
	case apiList:
		for i, item := range v.items {
			raw.fields = append(raw.fields, apiField{strconv.Itoa(i), rawValue(item)})
		}
		raw.fields = append(raw.fields, apiField{"_element", v.element})
	default:
		return value
	}
	return raw
}

// rawRoot is rawValue of a whole answer.
func rawRoot(root apiMap) apiMap {
	content := root.content
	root.content = ""
	raw := rawValue(root).(apiMap)
	raw.fields = append(raw.fields, apiField{"_type", "assoc"})
	if content != "" {
		raw.fields = append(raw.fields, apiField{"_content", content})
	}
	return raw
}

func appendJSON(b []byte, value any) []byte {
	switch v := value.(type) {
	case apiMap:
		b = append(b, '{')
		for i, f := range v.fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSON(b, f.name), ':')
			b = appendJSON(b, f.value)
		}
		return append(b, '}')
	case apiList:
		b = append(b, '[')
		for i, item := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, item)
		}
		return append(b, ']')
	}
	// PHP escapes neither slashes nor the characters of HTML.
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // a text
	}
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}

// appendPHP writes a value as PHP's serialize does.
func appendPHP(b []byte, value any) []byte {
	switch v := value.(type) {
	case apiMap:
		b = fmt.Appendf(b, "a:%d:{", len(v.fields))
		for _, f := range v.fields {
			b = appendPHP(appendPHP(b, f.name), f.value)
		}
		return append(b, '}')
	case apiList:
		b = fmt.Appendf(b, "a:%d:{", len(v.items))
		for i, item := range v.items {
			b = appendPHP(fmt.Appendf(b, "i:%d;", i), item)
		}
		return append(b, '}')
	}
	return fmt.Appendf(b, "s:%d:\"%s\";", len(value.(string)), value)
}

var (
	xmlText      = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	xmlAttribute = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#039;")
)

// xmlElement is a value as MediaWiki turns it into XML.
type xmlElement struct {
	name       string
	attributes []apiField
	text       string
	children   []xmlElement
}

// toXML makes an element of a value: a text in an array is an attribute, unless
// it is the array's content. Content becomes an element where it has siblings.
func toXML(name string, value any) xmlElement {
	e := xmlElement{name: name}
	switch v := value.(type) {
	case apiList:
		for _, item := range v.items {
			e.children = append(e.children, toXML(v.element, item))
		}
	case apiMap:
		for _, f := range v.fields {
			text, isText := f.value.(string)
			switch {
			case !isText:
				e.children = append(e.children, toXML(f.name, f.value))
			case f.name == v.content:
				e.text = text
			default:
				e.attributes = append(e.attributes, f)
			}
		}
		preserve := apiField{"xml:space", "preserve"}
		switch {
		case v.content == "":
		case e.children == nil:
			e.attributes = append(e.attributes, preserve)
		default:
			content := xmlElement{name: v.content, attributes: []apiField{preserve}, text: e.text}
			e.text, e.children = "", append(e.children, content)
		}
	case string:
		e.text = v
	}
	return e
}

// append writes the element. The indent is a line break with blanks, or empty
// to write everything on one line.
func (e xmlElement) append(b []byte, indent string) []byte {
	b = append(append(append(b, indent...), '<'), e.name...)
	for _, a := range e.attributes {
		b = fmt.Appendf(b, ` %s="%s"`, a.name, xmlAttribute.Replace(a.value.(string)))
	}
	if e.text == "" && e.children == nil {
		return append(b, " />"...)
	}
	b = append(append(b, '>'), xmlText.Replace(e.text)...)
	if e.children != nil {
		inner := indent
		if indent != "" {
			inner += "  "
		}
		for _, child := range e.children {
			b = child.append(b, inner)
		}
		b = append(b, indent...)
	}
	return append(append(append(b, "</"...), e.name...), '>')
}

const pageStart = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>MediaWiki API result</title>
</head>
<body>
<pre class="api-pretty-content">`

const pageEnd = `</pre>
</body>
</html>
`

// render writes an answer in the format that the parameters ask for.
func (p *answerParams) render(root apiMap) (contentType, extension string, body []byte) {
	switch p.Format {
	case "none":
		return "text/plain; charset=utf-8", "txt", nil
	case "xml":
		contentType, extension, body = "text/xml; charset=utf-8", "xml", p.renderXML(root)
	case "php":
		contentType, extension = "application/vnd.php.serialized; charset=utf-8", "php"
		body = appendPHP(nil, p.version(root))
	default:
		contentType, extension = "application/json; charset=utf-8", "json"
		if p.Callback != nil {
			contentType, extension = "text/javascript; charset=utf-8", "js"
		}
		body = p.renderJSON(root)
	}
	if !p.Page {
		return contentType, extension, body
	}
	return "text/html; charset=utf-8", "html", []byte(pageStart + html.EscapeString(string(body)) + pageEnd)
}

func (p *answerParams) version(root apiMap) any {
	switch {
	case p.Format == "raw":
		return rawRoot(root)
	case p.Version2:
		return root
	}
	return version1(root)
}

func (p *answerParams) renderXML(root apiMap) []byte {
	if p.Namespace {
		namespace := apiField{"xmlns", "http://www.mediawiki.org/xml/api/"}
		root.fields = append(root.fields, namespace)
	}
	indent := ""
	if p.Page {
		indent = "\n"
	}
	return toXML("api", root).append([]byte(`<?xml version="1.0"?>`), indent)
}

func (p *answerParams) renderJSON(root apiMap) []byte {
	text := appendJSON(nil, p.version(root))
	if p.Page {
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "    "); err != nil {
			panic(err) // it was written above
		}
		text = indented.Bytes()
	}
	if p.Callback == nil {
		return text
	}
	// The comment keeps the answer from being read as something else by its
	// first bytes, which the client chooses.
	return append(append([]byte("/**/"+*p.Callback+"("), text...), ')')
}
