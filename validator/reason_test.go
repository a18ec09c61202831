package validator

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	reasonRow  = regexp.MustCompile(`^\| (\d{3}) \| ([^|]+) \| ([^|]+) \|$`)
	reasonName = regexp.MustCompile("^`([a-z0-9_]+)`$")
)

// TestReasonsForAppDevelopers holds the table of docs/apps.md to the catalogue:
// it has each reason once, with its status, and no other one.
func TestReasonsForAppDevelopers(t *testing.T) {
	text, err := os.ReadFile("../docs/apps.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| Status | Reason | What to do |\n|---|---|---|\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("docs/apps.md has no table of reasons")
	}
	documented := map[string]int{}
	last := 0
	for line := range strings.SplitSeq(table, "\n") {
		row := reasonRow.FindStringSubmatch(line)
		if row == nil {
			t.Errorf("not a row of status, reasons and advice: %s", line)
			continue
		}
		status, err := strconv.Atoi(row[1])
		if err != nil || status < last {
			t.Errorf("status %s after %d: sort the rows by status", row[1], last)
		}
		last = status
		for quoted := range strings.SplitSeq(row[2], ", ") {
			name := reasonName.FindStringSubmatch(quoted)
			switch {
			case name == nil:
				t.Errorf("not a reason: %s", quoted)
			case documented[name[1]] != 0:
				t.Errorf("%s stands there twice", quoted)
			default:
				documented[name[1]] = status
			}
		}
	}
	for _, reason := range Reasons()[1:] {
		if status := documented[reason.String()]; status != reason.Status() {
			t.Errorf("%v: status %d in docs/apps.md, %d in the catalogue", reason, status, reason.Status())
		}
		delete(documented, reason.String())
	}
	for name := range documented {
		t.Errorf("docs/apps.md has %s, which is not a reason", name)
	}
}
