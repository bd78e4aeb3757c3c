package state

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/sys"
)

// The test binary runs itself again to have other processes at work on the same
// store. What they do is one of these.
var helpers = map[string]func(s *Store, id string) error{
	"create": func(s *Store, id string) error {
		d, err := s.Create(id)
		if err != nil {
			return err
		}
		fmt.Println("created")
		return d.Close()
	},
	// Creates, holds the lock and says so, until it is told to go on or killed.
	"hold": func(s *Store, id string) error {
		d, err := s.Create(id)
		if err != nil {
			return err
		}
		j, err := d.Journal()
		if err != nil {
			return err
		}
		if err := j.Note(fileEntry(os.Getenv("BERTH_TEST_FILE"))); err != nil {
			return err
		}
		if err := os.WriteFile(os.Getenv("BERTH_TEST_FILE"), nil, 0o600); err != nil {
			return err
		}
		if os.Getenv("BERTH_TEST_RECORD") != "" {
			if err := d.WriteRecord(&Record{ID: id, PID: os.Getpid(), StartTime: must(StartTime(os.Getpid())), Creating: true}); err != nil {
				return err
			}
		}
		fmt.Println("held")
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
		return err
	},
	// Creates and removes the same container again and again.
	"churn": func(s *Store, id string) error {
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
			d, err := s.Create(id)
			if err == ErrExists {
				d, err = s.Get(id, Exclusive)
				if err == ErrNotExist {
					continue
				}
			}
			if err != nil {
				return err
			}
			// Whoever has the lock is alone in the directory.
			if err := unix.Mkdir(d.Path()+"/alone", 0o700); err != nil {
				return fmt.Errorf("not alone: %w", err)
			}
			if err := unix.Rmdir(d.Path() + "/alone"); err != nil {
				return fmt.Errorf("not alone: %w", err)
			}
			if err := d.WriteRecord(&Record{ID: id}); err != nil {
				return err
			}
			if err := d.Remove(); err != nil {
				return err
			}
			d.Close()
		}
		return nil
	},
	// Reads the record without a lock, again and again.
	"read": func(s *Store, id string) error {
		seen := 0
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
			d, err := s.Get(id, Unlocked)
			if err != nil {
				return err
			}
			r, err := d.Record()
			if err != nil {
				return err
			}
			if len(r.Annotations) != 50 {
				return fmt.Errorf("half a record: %d annotations", len(r.Annotations))
			}
			d.Close()
			seen++
		}
		if seen == 0 {
			return errors.New("no record read")
		}
		return nil
	},
	"sleep": func(*Store, string) error {
		fmt.Println("up")
		time.Sleep(time.Minute)
		return nil
	},
	// Notes entries until it is killed, and says each number once it is noted.
	"note": func(s *Store, id string) error {
		d, err := s.Get(id, Exclusive)
		if err != nil {
			return err
		}
		j, err := d.Journal()
		if err != nil {
			return err
		}
		for i := 0; ; i++ {
			if err := j.Note(Entry{Kind: "n", Args: []string{fmt.Sprint(i), strings.Repeat("x", 3000)}}); err != nil {
				return err
			}
			fmt.Println(i)
		}
	},
}

// fileEntry is an entry of a made-up kind: a file that is removed.
func fileEntry(path string) Entry { return Entry{Kind: "file", Args: []string{path}} }

var fileKind = Kind{Name: "file", Undo: func(_ *sys.Patience, args []string) error {
	if err := os.Remove(args[0]); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMain(m *testing.M) {
	if name := os.Getenv("BERTH_TEST_HELPER"); name != "" {
		if err := helpers[name](Open(os.Getenv("BERTH_TEST_ROOT")), os.Getenv("BERTH_TEST_ID")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// again is a command that runs a helper.
func again(t *testing.T, name string, s *Store, id string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append(env, "BERTH_TEST_HELPER="+name, "BERTH_TEST_ROOT="+s.root, "BERTH_TEST_ID="+id)...)
	return cmd
}

// begin starts a helper and waits for its first line. It is killed at the end.
func begin(t *testing.T, name string, s *Store, id string, env ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := again(t, name, s, id, env...)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	if err != nil || line != "held\n" && line != "up\n" && line != "0\n" {
		t.Fatalf("%s: %q %v", name, line, err)
	}
	return cmd, r
}
