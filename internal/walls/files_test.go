package walls

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// maxLines bounds a file, because a longer one has more than one subject.
const maxLines = 450

func TestGoFiles(t *testing.T) {
	rules := []struct {
		pattern *regexp.Regexp
		because string
	}{
		{regexp.MustCompile(`\b[tbf]\.Skip(f|Now)?\(`), "a test that cannot run fails"},
		{regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}, "|") + `)\b`), "what is left open is not in the code"},
	}
	files := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != root {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		files++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
			t.Errorf("%s: %d lines, want at most %d: does it have one subject or two?", name, lines, maxLines)
		}
		for _, rule := range rules {
			if found := rule.pattern.Find(text); found != nil {
				t.Errorf("%s: %s: %s", name, found, rule.because)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Error("no Go file found")
	}
}

// builder is xcaddy's Builder document. The package itself is not imported: it
// would be a dependency of every build for the sake of a test.
type builder struct {
	OS           string       `json:"os"`
	Arch         string       `json:"arch"`
	ARM          string       `json:"arm"`
	Cgo          bool         `json:"cgo"`
	CaddyVersion string       `json:"caddy_version"`
	Plugins      []dependency `json:"plugins"`
	Replacements []struct {
		Old string `json:"old"`
		New string `json:"new"`
	} `json:"replacements"`
	TimeoutGet   time.Duration `json:"timeout_get"`
	TimeoutBuild time.Duration `json:"timeout_build"`
	RaceDetector bool          `json:"race_detector"`
	SkipCleanup  bool          `json:"skip_cleanup"`
	SkipBuild    bool          `json:"skip_build"`
	Debug        bool          `json:"debug"`
	BuildFlags   string        `json:"build_flags"`
	ModFlags     string        `json:"mod_flags"`
}

type dependency struct {
	PackagePath string `json:"module_path"`
	Version     string `json:"version"`
}

func TestXcaddyDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "xcaddy.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var b builder
	if err := d.Decode(&b); err != nil {
		t.Fatal(err)
	}
	if d.More() {
		t.Error("more than one document")
	}
	if want := caddyVersion(t); b.CaddyVersion != want {
		t.Errorf("caddy_version = %q, but go.mod has %q", b.CaddyVersion, want)
	}
	if len(b.Plugins) != 1 || b.Plugins[0].PackagePath != module {
		t.Errorf("plugins = %v, want %s alone", b.Plugins, module)
	}
	if len(b.Replacements) != 0 {
		t.Errorf("replacements = %v: other builds do not have them", b.Replacements)
	}
}

// goMod is the part of `go mod edit -json` that the tests look at.
type goMod struct {
	Require []struct{ Path, Version string }
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
	Exclude []struct{ Path, Version string }
}

func readGoMod(t *testing.T) goMod {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json", filepath.Join(root, "go.mod")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var m goMod
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func caddyVersion(t *testing.T) string {
	t.Helper()
	for _, r := range readGoMod(t).Require {
		if r.Path == "github.com/caddyserver/caddy/v2" {
			return r.Version
		}
	}
	t.Fatal("go.mod does not require Caddy")
	return ""
}

// TestGoModIsWhatXcaddySees: xcaddy builds in a module of its own, where
// replace and exclude of a plugin are ignored.
func TestGoModIsWhatXcaddySees(t *testing.T) {
	m := readGoMod(t)
	if len(m.Require) == 0 {
		t.Error("go.mod requires nothing")
	}
	if len(m.Replace) != 0 || len(m.Exclude) != 0 {
		t.Errorf("go.mod replaces %v and excludes %v", m.Replace, m.Exclude)
	}
}
