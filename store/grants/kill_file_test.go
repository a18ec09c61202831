package grants_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/store/grants"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// moments is at how many moments of a write TestKilledWriters kills its process.
const moments = 25

// TestKilledWriters ends the process at moments all through each write to a file, as
// SIGKILL does. `oauth` reads on at once. The file holds all of the write or nothing
// of it, and the same write leads to the end exactly once.
func TestKilledWriters(t *testing.T) {
	for _, journal := range []string{"DELETE", "WAL"} {
		for _, at := range situations {
			t.Run(journal+" "+at.name, func(t *testing.T) {
				s := newScene(t, storetest.Named(t, "SQLite 1.39"))
				s.Exec(t, "PRAGMA journal_mode = "+journal)
				killWriters(t, s, at)
			})
		}
	}
}

func killWriters(t *testing.T, s *scene, at situation) {
	var whole time.Duration
	none, all, left := 0, 0, 0
	for i := range moments {
		s.clear(t)
		w := at.prepare(t, s)
		before := s.state(t, everything)
		w.Driver, w.DSN, w.Waits = s.config.Driver, s.config.DSN, true
		after := time.Minute // the first one ends
		if i > 0 {
			after = whole * time.Duration(i-1) / (moments - 2)
		}
		took, answered := killAfter(t, &w, after)
		if i == 0 {
			if whole = took; !answered {
				t.Fatal("the write did not end")
			}
		}
		if info, err := os.Stat(w.DSN + "-journal"); err == nil && info.Size() > 0 {
			left++
		}
		// The connection is a new one, and the first one since the kill that reads rows.
		if facts, err := s.Store(t).Lookup(t.Context(), validator.Key{Protocol: validator.OAuth1, Consumer: s.app1.Key}); err != nil || facts.Consumer == nil {
			t.Errorf("killed after %v: oauth cannot read: %v", after, err)
		}
		done := !slices.Equal(s.state(t, everything), before)
		if answered && !done {
			t.Errorf("killed after %v: what was answered is not there", after)
		}
		if done {
			all++
		} else {
			none++
		}
		s.repeat(t, fmt.Sprintf("killed after %v:", after), at, w, openTables(t, s.Wiki, s.config), done)
	}
	t.Logf("a write of %v: %d kills left nothing, %d all; %d left a journal", whole, none, all, left)
	if none == 0 || all == 0 {
		t.Error("the kills do not reach both sides of the commit")
	}
}

// killAfter runs a write in a process of its own, and kills that after a time, or
// once it has answered.
func killAfter(t *testing.T, w *write, after time.Duration) (took time.Duration, answered bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = w.environment(t), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	start, heard := time.Now(), make(chan bool, 1)
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	go func() {
		line, _ := lines.ReadString('\n') // or the end of the process
		heard <- line == "done\n"
	}()
	select {
	case answered = <-heard:
		took = time.Since(start)
		_ = cmd.Process.Kill()
	case <-time.After(after):
		_ = cmd.Process.Kill()
		answered = <-heard // perhaps it was faster
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return took, answered
}

// waitForParent reads once, so that the child has its connection, and waits for a
// line.
func waitForParent(tables *grants.Tables) error {
	if _, err := tables.Acceptances(context.Background(), 1, 1); err != nil {
		return err
	}
	fmt.Println("ready") //nolint:forbidigo // for the parent
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return errors.New("the parent is gone")
	}
	return nil
}
