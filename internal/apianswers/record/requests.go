package main

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/apianswers"
)

const (
	invalid    = "mwoauth-invalid-authorization"
	urlencoded = "application/x-www-form-urlencoded"
	multipart  = "multipart/form-data; boundary=AaB03x"
)

var errorsOfOAuth = [][]string{
	{invalid, "Invalid signature"},
	{invalid, "Nonce already used: aZ09-._~+/="},
	{invalid, "Expired timestamp, yours 1400000000, ours 1700000000"},
	{invalid, `of two's "words" > 4 & more`},
	{invalid + "-wrong-wiki", "enwiki"},
	{invalid + "-blocked-user"},
}

// errorCase is a request, and the error that is thrown while it is answered.
type errorCase struct {
	request apianswers.Request
	thrown  []string
}

// cases returns every format with every version and error format, first with
// one error in each place, then with the other errors; and then what is left.
func cases() []errorCase {
	var all []errorCase
	for _, params := range products(
		choices("format", "json", "jsonfm", "php", "phpfm", "xml", "xmlfm", "rawfm", "none"),
		choices("formatversion", "1", "2", "latest"),
		choices("errorformat", "bc", "plaintext", "wikitext", "html", "raw", "none"),
	) {
		all = append(all, everywhere(params, errorsOfOAuth[0])...)
		for _, e := range errorsOfOAuth[1:] {
			all = append(all, errorCase{apianswers.Request{Method: http.MethodGet, Query: strings.Join(params, "&")}, e})
		}
		if !strings.Contains(strings.Join(params, "&"), "errorformat=") {
			// MediaWiki's own error, from behind the hook.
			query := strings.Join(append(params, "action=query", "assert=user"), "&")
			all = append(all, errorCase{apianswers.Request{Method: http.MethodGet, Query: query}, nil})
		}
	}
	return append(all, rest()...)
}

// choices returns a parameter with each of its values, and without it.
func choices(name string, values ...string) []string {
	all := []string{""}
	for _, value := range values {
		all = append(all, name+"="+value)
	}
	return all
}

func products(params ...[]string) [][]string {
	all := [][]string{nil}
	for _, values := range params {
		var longer [][]string
		for _, chosen := range all {
			for _, value := range values {
				if value == "" {
					longer = append(longer, chosen)
				} else {
					longer = append(longer, append(slices.Clone(chosen), value))
				}
			}
		}
		all = longer
	}
	return all
}

// everywhere returns requests with the parameters in each place that MediaWiki
// reads.
func everywhere(params, thrown []string) (all []errorCase) {
	query := strings.Join(params, "&")
	for _, r := range []apianswers.Request{
		{Method: http.MethodGet, Query: query},
		{Method: http.MethodHead, Query: query},
		{Method: http.MethodPost, Query: query, ContentType: urlencoded, Body: "action=query"},
		{Method: http.MethodPost, Query: "action=query", ContentType: urlencoded, Body: query},
		{Method: http.MethodPost, ContentType: multipart, Body: parts(params...)},
	} {
		all = append(all, errorCase{r, thrown})
	}
	return all
}

func parts(params ...string) string {
	var body strings.Builder
	for _, param := range params {
		name, value, _ := strings.Cut(param, "=")
		body.WriteString("--AaB03x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n")
	}
	return body.String() + "--AaB03x--\r\n"
}

func rest() []errorCase {
	var all []errorCase
	add := func(method, query, contentType, body string) {
		r := apianswers.Request{Method: method, Query: query, ContentType: contentType, Body: body}
		all = append(all, errorCase{r, errorsOfOAuth[0]})
	}
	for _, query := range []string{
		// How a format is read.
		"format=XML", "format=", "format", "format=%20xml", "format=xml&format=json", "format=json&format[]=xml", "format[]=xml", "format[0]=xml",
		"f%6Frmat=xm%6C", "+format=xml", "format%00x=xml", "for.mat=xml", "format=xml;formatversion=2", "format=nonefm", "format=dbg", "&&format=xml&",
		"format=json&formatversion=02", "format=json&formatversion=3", "format=json&formatversion=", "format=json&formatversion=2&formatversion=1",
		"format=php&formatversion=3", "format=xml&formatversion=3", "format=json&formatversion=3&callback=x", "format=json&formatversion[]=2",
		"format=json&errorformat=RAW", "format=json&errorformat=", "format=json&errorformat[]=raw", "format=json&errorformat=raw&errorformat=none",
		"format=json&formatversion=2&ascii", "format=json&utf8=1", "format=json&uselang=de", "format=json&errorformat=plaintext&errorlang=de&uselang=fr",
		"format=json&errorformat=html&errorsuselocal=1", "format=json&uselang=%3Cscript%3E&errorlang[]=x&errorformat=none",
		// Scripts and other origins.
		"format=json&callback=x", "format=json&callback=", "format=json&callback", "format=json&callback=a.b[%27c%27].d_9", "format=json&callback=alert(1)%3B//%3C/script%3E",
		"format=json&callback=%C3%A9%FF%00%0A-x", "format=json&formatversion=2&callback=x&errorformat=raw", "format=jsonfm&callback=%3Cb%3E", "format=php&callback=x",
		"format=xml&callback=x", "format=none&callback=x", "format=rawfm&callback=x", "callback=x", "format=json&callback[]=x", "format=json&callback=x&callback=y",
		"format=json&origin=*", "format=json&origin=https://example.org", "format=xml&origin=*&callback=x", "format=json&origin[]=*",
		// What else is in an answer.
		"format=json&requestid=a%20b", "format=json&requestid=", "format=json&requestid=%3C%26%22%27%3E/", "format=xml&requestid=%3C%26%22%27%3E/", "format=php&requestid=%3C%26%22%27%3E/",
		"format=xmlfm&requestid=%3C%26%22%27%3E/", "format=jsonfm&requestid=%3C%26%22%27%3E/", "format=rawfm&requestid=1", "format=json&formatversion=2&requestid=1",
		"format=json&errorformat=raw&requestid=1", "format=json&errorformat=raw&formatversion=2&requestid=1", "format=json&requestid=1&curtimestamp", "format=xml&errorformat=html&requestid=1&curtimestamp=0",
		"format=json&requestid[]=1", "format=xml&includexmlnamespace", "format=xml&includexmlnamespace=0&requestid=1&errorformat=raw", "format=xmlfm&includexmlnamespace=1", "format=json&includexmlnamespace",
	} {
		add(http.MethodGet, query, "", "")
	}
	// Query and form together.
	add(http.MethodPost, "format=xml", urlencoded, "format=json")
	add(http.MethodPost, "format=xml&requestid=1", urlencoded, "formatversion=2")
	add(http.MethodPost, "format=xml", urlencoded, "format[]=json")
	add(http.MethodPost, "format[]=xml", urlencoded, "format=json")
	add(http.MethodPost, "format=xml", multipart, parts("format=json", "formatversion=2", "callback=x"))
	add(http.MethodPost, "", urlencoded+"; charset=utf-8", "format=xml")
	add(http.MethodPost, "", "Application/X-WWW-Form-Urlencoded", "format=xml")
	add(http.MethodPost, "", strings.Replace(multipart, "form-data", "Form-Data", 1), parts("format=xml"))
	// Bodies that are not forms, and forms that PHP does not read.
	add(http.MethodPost, "", "text/plain", "format=xml")
	add(http.MethodPost, "", "application/json", `{"format":"xml"}`)
	add(http.MethodPut, "", urlencoded, "format=xml")
	add(http.MethodPatch, "format=json", urlencoded, "format=xml")
	add(http.MethodDelete, "", urlencoded, "format=xml")
	add(http.MethodGet, "", urlencoded, "format=xml")
	add(http.MethodOptions, "format=json", "", "")
	// Multipart forms with files.
	file := "--AaB03x\r\nContent-Disposition: form-data; name=\"format\"; filename=\"f.txt\"\r\nContent-Type: text/plain\r\n\r\nxml\r\n"
	add(http.MethodPost, "", multipart, file+parts("formatversion=2"))
	add(http.MethodPost, "", multipart, file+parts("format=json"))
	add(http.MethodPost, "", multipart, parts("format[]=xml", "formatversion=2", "format=php"))
	return all
}
