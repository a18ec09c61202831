package gateway

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// accepted is what the source of the directive accepts.
type accepted struct {
	names map[string]bool     // of subdirectives, on every level
	words map[string][]string // by setting
}

// readSource finds the names and words in the source, so that one that is added
// to the code cannot be left out here.
func readSource(t *testing.T, dirs ...string) accepted {
	t.Helper()
	found := accepted{map[string]bool{}, map[string][]string{}}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		constants := map[string]string{}
		var parsed []*ast.File
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
			ast.Inspect(file, func(n ast.Node) bool {
				if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
					constants[spec.Names[0].Name] = literal(spec.Values[0], nil)
				}
				return true
			})
		}
		for _, file := range parsed {
			ast.Inspect(file, func(n ast.Node) bool {
				if composite, ok := n.(*ast.CompositeLit); ok {
					found.read(t, composite, constants)
				}
				return true
			})
		}
	}
	return found
}

func (a accepted) read(t *testing.T, composite *ast.CompositeLit, constants map[string]string) {
	t.Helper()
	switch typeName(composite.Type) {
	case "map[string]grammar.Subdirective":
		for _, element := range composite.Elts {
			a.names[literal(element.(*ast.KeyValueExpr).Key, nil)] = true
		}
	case "grammar.Words":
		var setting string
		var words []string
		for _, element := range composite.Elts {
			field := element.(*ast.KeyValueExpr)
			switch field.Key.(*ast.Ident).Name {
			case "Setting":
				setting = literal(field.Value, constants)
			case "Built":
				if list, ok := field.Value.(*ast.CompositeLit); ok {
					for _, word := range list.Elts {
						words = append(words, literal(word, constants))
					}
				}
			}
		}
		switch setting { // made of another list
		case "require":
			for _, kind := range validator.RequirementKinds() {
				words = append(words, kind.String())
			}
		case "store":
			words = store.Drivers()
		}
		if setting == "" || len(words) == 0 || slices.Contains(words, "") {
			t.Errorf("words of %q: %q", setting, words)
		}
		a.words[setting] = words
	}
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return typeName(e.X) + "." + e.Sel.Name
	case *ast.MapType:
		return "map[" + typeName(e.Key) + "]" + typeName(e.Value)
	}
	return ""
}

// literal returns a string that stands in the source, or is a constant there.
func literal(e ast.Expr, constants map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.Ident:
		return constants[e.Name]
	}
	return ""
}

func textOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withComments returns the lines of a text that give a setting, each with the
// comment above it and, if it is behind "#", beside it.
func withComments(text, setting string) string {
	var out, comment strings.Builder
	begins := regexp.MustCompile(`^` + regexp.QuoteMeta(setting) + `\b`)
	for line := range strings.Lines(text) {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "#"):
			comment.WriteString(line)
		default:
			if begins.MatchString(trimmed) {
				out.WriteString(comment.String() + line)
			}
			comment.Reset()
		}
	}
	return out.String()
}

func hasWord(text, word string) bool {
	return regexp.MustCompile(`(^|[^A-Za-z0-9_])` + regexp.QuoteMeta(word) + `($|[^A-Za-z0-9_])`).MatchString(text)
}

// TestManual holds the grammar in the comment of UnmarshalCaddyfile and
// Caddyfile.example to what the source accepts: every subdirective, and every
// word that one may be. Those that both directives have are checked for oauth.
func TestManual(t *testing.T) {
	for _, directive := range []struct {
		name, grammar string
		dirs          []string
		least         [2]int // subdirectives and lists of words
	}{
		{"oauth", "caddyfile.go", []string{".", "../config"}, [2]int{50, 12}},
		{"oauth_server", "../server/caddyfile.go", []string{"../server"}, [2]int{35, 9}},
	} {
		t.Run(directive.name, func(t *testing.T) {
			source := readSource(t, directive.dirs...)
			delete(source.names, "messages") // it only tells that it is not built yet
			if directive.name == "oauth" {
				source.words["headers"], source.words["secret_key"] = []string{headersOff}, []string{"none"}
			}
			if len(source.names) < directive.least[0] || len(source.words) < directive.least[1] {
				t.Fatalf("%d subdirectives and %d lists of words found", len(source.names), len(source.words))
			}
			comment, _, _ := strings.Cut(textOf(t, directive.grammar), "func (h *Handler) UnmarshalCaddyfile")
			_, comment, _ = strings.Cut(comment, "// UnmarshalCaddyfile reads")
			grammar := regexp.MustCompile(`(?m)^//\s?`).ReplaceAllString(comment, "")
			source.check(t, "the comment of UnmarshalCaddyfile", grammar)
			source.check(t, "Caddyfile.example", textOf(t, "../../Caddyfile.example"))
			source.checkShown(t, grammar)
		})
	}
}

// check finds names and words that a text does not show.
func (a accepted) check(t *testing.T, where, text string) {
	t.Helper()
	for name := range a.names {
		if withComments(text, name) == "" && !regexp.MustCompile(`\b`+name+` [0-9<\[]`).MatchString(text) {
			t.Errorf("%s does not show %s", where, name)
		}
	}
	for setting, words := range a.words {
		shown := withComments(text, setting)
		for _, word := range words {
			if !hasWord(shown, word) {
				t.Errorf("%s does not show %s %s", where, setting, word)
			}
		}
	}
}

// checkShown finds words in the grammar that are not accepted.
func (a accepted) checkShown(t *testing.T, grammar string) {
	t.Helper()
	for _, line := range regexp.MustCompile(`(?m)^\s+([a-z_]+) +([a-z]+(?:\|[a-z]+)+)(?:$|\s)`).FindAllStringSubmatch(grammar, -1) {
		if words := a.words[line[1]]; words != nil {
			for word := range strings.SplitSeq(line[2], "|") {
				if !slices.Contains(words, word) {
					t.Errorf("the comment of UnmarshalCaddyfile shows %s %s, which is refused", line[1], word)
				}
			}
		}
	}
}

// positional are JSON keys of values that stand in the line of a subdirective,
// and keys with another name there.
var positional = map[string]string{
	"driver": "store", "source": "users", "backend": "nonces", "kind": "require", "values": "require",
	"wikis": "wiki", "cors": "cors_preflight", "consumers": "consumer", "replicas": "replica", "key": "consumer",
}

// TestGodoc holds the JSON fields of the module, which are its manual, to the
// subdirectives: each has a comment, and names every word that it may be.
func TestGodoc(t *testing.T) {
	source := readSource(t, ".", "../config")
	source.words["headers"], source.words["secret_key"] = []string{headersOff}, []string{"none"}
	comments := map[string]string{} // by type and field
	for _, dir := range []string{".", "../config"} {
		files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if fields, ok := spec.Type.(*ast.StructType); ok {
					for _, field := range fields.Fields.List {
						for _, ident := range field.Names {
							comments[spec.Name.Name+"."+ident.Name] = field.Doc.Text()
						}
					}
				}
				return true
			})
		}
	}
	inJSON := map[string]bool{}
	var walk func(of reflect.Type)
	walk = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[caddy.Duration]() {
			return
		}
		for field := range of.Fields() {
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key == "" {
				continue
			}
			inJSON[key] = true
			inJSON[positional[key]] = true
			comment := comments[of.Name()+"."+field.Name]
			if comment == "" {
				t.Errorf("%s.%s has no comment above it", of.Name(), field.Name)
			}
			setting := key
			if !source.names[key] {
				if setting = positional[key]; !source.names[setting] {
					t.Errorf("%s.%s: no subdirective sets %s", of.Name(), field.Name, key)
				}
			}
			if of == reflect.TypeFor[Handshake]() && key == "mode" {
				setting = "handshake"
			}
			ofConsumer := of == reflect.TypeFor[config.Consumer]()
			if field.Type.Kind() == reflect.String && !ofConsumer {
				for _, word := range source.words[setting] {
					if !strings.Contains(comment, "`"+word+"`") {
						t.Errorf("%s.%s does not explain `%s`", of.Name(), field.Name, word)
					}
				}
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[Handler]())
	for name := range source.names {
		if !inJSON[name] {
			t.Errorf("no JSON field is what %s sets", name)
		}
	}
}

// TestSiteIsWhole holds the fields that both directives share to those of the
// module: each is there, under the same name.
func TestSiteIsWhole(t *testing.T) {
	h := new(Handler)
	site, fields := reflect.ValueOf(h.site()), reflect.ValueOf(h).Elem()
	for i := range site.NumField() {
		name := site.Type().Field(i).Name
		if field := fields.FieldByName(name); !field.IsValid() || site.Field(i).Pointer() != field.Addr().Pointer() {
			t.Errorf("%s is not the field of the module", name)
		}
	}
	names := slices.Sorted(maps.Keys(h.site().Subdirectives()))
	for _, name := range names {
		if _, own := h.subdirectives()[name]; !own {
			t.Errorf("the directive does not read %s", name)
		}
	}
	if !slices.Contains(names, config.Repeated[0]) {
		t.Errorf("%v", names)
	}
}
