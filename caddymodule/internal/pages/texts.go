package pages

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"

	"golang.org/x/text/language"
)

//go:embed messages/*.json
var files embed.FS

// texts are the texts of one language. One that is missing is English.
type texts struct {
	tag   string
	rtl   bool
	texts map[string]string
}

// languages lists the languages in the order in which they are preferred.
var languages = []string{"en", "de", "ar"}

var (
	all     = loadTexts()
	matcher = func() language.Matcher {
		tags := make([]language.Tag, len(languages))
		for i, tag := range languages {
			tags[i] = language.Make(tag)
		}
		return language.NewMatcher(tags)
	}()
)

func loadTexts() []*texts {
	out := make([]*texts, len(languages))
	for i, tag := range languages {
		raw, err := files.ReadFile(path.Join("messages", tag+".json"))
		if err != nil {
			panic(err)
		}
		t := &texts{tag: tag, rtl: tag == "ar"}
		if err := json.Unmarshal(raw, &t.texts); err != nil {
			panic(fmt.Sprintf("messages/%s.json: %v", tag, err))
		}
		out[i] = t
	}
	return out
}

// textsFor chooses a language: that of uselang, or else of Accept-Language.
func textsFor(r *http.Request) *texts {
	const most = 512 // bytes
	accepted := r.Header.Get("Accept-Language")
	accepted = accepted[:min(most, len(accepted))]
	asked := accepted
	if strings.Contains(r.URL.RawQuery, "uselang") {
		if lang := r.URL.Query().Get("uselang"); lang != "" && len(lang) <= 64 {
			asked = lang + "," + asked
		}
	}
	if asked == "" {
		return all[0]
	}
	tags, _, err := language.ParseAcceptLanguage(asked)
	if err != nil { // one that cannot be read does not hide the others
		tags, _, _ = language.ParseAcceptLanguage(accepted)
	}
	_, index, confidence := matcher.Match(tags...)
	if confidence == language.No {
		index = 0
	}
	return all[index]
}

func (t *texts) lookup(key string) (string, bool) {
	if text, ok := t.texts[key]; ok {
		return text, true
	}
	text, ok := all[0].texts[key]
	return text, ok
}

// get returns the text of a key. A refusal without a text of its own has a general
// one.
func (t *texts) get(key string) string {
	if text, ok := t.lookup(key); ok {
		return text
	}
	if strings.HasPrefix(key, "error.") {
		text, _ := t.lookup("error.general")
		return text
	}
	return key
}
