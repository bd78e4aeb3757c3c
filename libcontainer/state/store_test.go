package state

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/sys"
)

func newDir(t *testing.T) (*Store, *Dir) {
	t.Helper()
	s := Open(t.TempDir() + "/run/berth")
	d, err := s.Create("one")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return s, d
}

func TestCheckID(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "A_9+.-": true, "..a": true, "-x": true, strings.Repeat("x", 255): true,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "ä": false, "a\x00": false, "../x": false,
		strings.Repeat("x", 256): false,
	} {
		if err := CheckID(id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
		s := Open(t.TempDir())
		if _, err := s.Get(id, Unlocked); !ok && !errors.Is(err, ErrInvalidID) || ok && !errors.Is(err, ErrNotExist) {
			t.Errorf("get %q: %v", id, err)
		}
		if _, err := s.Create(id); !ok && !errors.Is(err, ErrInvalidID) {
			t.Errorf("create %q: %v", id, err)
		}
	}
	for err, want := range map[error]string{
		ErrInvalidID: "invalid container ID format", ErrExists: "container with given ID already exists",
		ErrNotExist: "container does not exist",
	} {
		if err.Error() != want {
			t.Errorf("%q is not %q, as engines expect", err, want)
		}
	}
}

func TestCreateGetListRemove(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	s := Open(t.TempDir() + "/run/berth")
	if ids, err := s.List(); err != nil || len(ids) != 0 {
		t.Errorf("a store that was never used: %v %v", ids, err)
	}
	for _, id := range []string{"b", "a"} {
		d, err := s.Create(id)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		st, err := os.Stat(d.Path())
		if err != nil || st.Mode().Perm() != 0o700 || d.mode != Exclusive || d.ID() != id {
			t.Errorf("mode %v, lock %v, %v", st.Mode(), d.mode, err)
		}
	}
	if err := os.WriteFile(s.root+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if ids, err := s.List(); err != nil || !reflect.DeepEqual(ids, []string{"a", "b"}) {
		t.Errorf("list: %v %v", ids, err)
	}
	if _, err := s.Create("a"); !errors.Is(err, ErrExists) {
		t.Errorf("again: %v", err)
	}
	if _, err := s.Get("file", Unlocked); err == nil || errors.Is(err, ErrNotExist) {
		t.Errorf("a file is no container: %v", err)
	}
	if err := os.Symlink("a", s.root+"/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("link", Unlocked); err == nil {
		t.Error("a symbolic link is followed")
	}
}

func TestRemoveFollowsNothing(t *testing.T) {
	_, d := newDir(t)
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/precious", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		d.WriteRecord(&Record{ID: "one"}), d.WriteConfig([]byte("{}")), d.MakeFIFO(),
		os.MkdirAll(d.Path()+"/sub/sub", 0o700), os.Symlink(outside, d.Path()+"/sub/link"),
		os.Symlink(outside, d.Path()+"/link"), os.WriteFile(d.Path()+"/other", nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := d.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(d.Path()); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
	if _, err := os.Stat(outside + "/precious"); err != nil {
		t.Error("a link was followed")
	}
	if _, err := d.Record(); err != ErrNotExist {
		t.Errorf("the record of a removed container: %v", err)
	}
}

func TestFiles(t *testing.T) {
	_, d := newDir(t)
	if _, err := d.Config(); err != ErrNoRecord {
		t.Errorf("no config: %v", err)
	}
	if _, err := d.Record(); err != ErrNoRecord {
		t.Errorf("no record: %v", err)
	}
	big := []byte(strings.Repeat("x", 100_000))
	for _, data := range [][]byte{big, []byte("{}"), {}} {
		if err := d.WriteConfig(data); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Config(); err != nil || string(got) != string(data) {
			t.Errorf("%d bytes: %v", len(got), err)
		}
	}
	if d.HasFIFO() {
		t.Error("a FIFO before it is made")
	}
	if err := d.MakeFIFO(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(d.FIFOPath(), &st); err != nil || st.Mode != unix.S_IFIFO|0o600 {
		t.Errorf("%o %v", st.Mode, err)
	}
	if err := d.MakeFIFO(); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a second FIFO: %v", err)
	}
	for range 2 {
		if err := d.RemoveFIFO(); err != nil || d.HasFIFO() {
			t.Errorf("removed: %v", err)
		}
	}
}

// Of many processes that create the same container exactly one does.
func TestOneCreateWins(t *testing.T) {
	s := Open(t.TempDir() + "/new/root")
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := map[string]int{}
	for range 8 {
		wg.Go(func() {
			out, _ := again(t, "create", s, "x").CombinedOutput()
			mu.Lock()
			count[strings.TrimSpace(string(out))]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if count["created"] != 1 || count[ErrExists.Error()] != 7 {
		t.Errorf("got %v", count)
	}
}

func TestCreateAgainstDelete(t *testing.T) {
	s := Open(t.TempDir())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if out, err := again(t, "churn", s, "x").CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if ids, err := s.List(); err != nil || len(ids) != 0 {
		t.Errorf("left: %v %v", ids, err)
	}
}

func TestReadersSeeWholeRecords(t *testing.T) {
	s, d := newDir(t)
	r := &Record{ID: "one", Annotations: map[string]string{}}
	for i := range 50 {
		r.Annotations[strings.Repeat("k", i+1)] = strings.Repeat("v", 100)
	}
	if err := d.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	for range 2 {
		go func() {
			out, err := again(t, "read", s, "one").CombinedOutput()
			if err != nil {
				err = errors.New(string(out))
			}
			done <- err
		}()
	}
	for n := 0; n < 2; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			n++
		default:
			if err := d.WriteRecord(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A command that waits for the lock learns that the container was deleted, or
// gets the next one of that name.
func TestDeletedWhileWaiting(t *testing.T) {
	for name, next := range map[string]bool{"gone": false, "made anew": true} {
		t.Run(name, func(t *testing.T) {
			s, d := newDir(t)
			type result struct {
				d   *Dir
				err error
			}
			got := make(chan result)
			go func() {
				d, err := s.Get("one", Shared)
				got <- result{d, err}
			}()
			time.Sleep(30 * time.Millisecond)
			select {
			case <-got:
				t.Fatal("the lock did not hold")
			default:
			}
			if err := d.Remove(); err != nil {
				t.Fatal(err)
			}
			var second *Dir
			if next {
				var err error
				if second, err = s.Create("one"); err != nil {
					t.Fatal(err)
				}
			}
			d.Close()
			if next {
				time.Sleep(10 * time.Millisecond)
				if err := second.Unlock(); err != nil {
					t.Fatal(err)
				}
				defer second.Close()
			}
			r := <-got
			if !next && r.err != ErrNotExist {
				t.Errorf("got %v", r.err)
			}
			if next {
				if r.err != nil {
					t.Fatal(r.err)
				}
				if ok, err := r.d.linked(); !ok || err != nil || r.d.mode != Shared {
					t.Errorf("%v %v", ok, err)
				}
				r.d.Close()
			}
		})
	}
}

func TestLocks(t *testing.T) {
	s, d := newDir(t)
	other, err := s.Get("one", Unlocked)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if busy, err := other.Busy(); !busy || err != nil {
		t.Errorf("create is at work: %v %v", busy, err)
	}
	if err := d.Unlock(); err != nil {
		t.Fatal(err)
	}
	if busy, err := other.Busy(); busy || err != nil {
		t.Errorf("nobody is at work: %v %v", busy, err)
	}
	if err := other.Lock(Shared); err != nil {
		t.Fatal(err)
	}
	if err := d.Lock(Shared); err != nil {
		t.Fatal(err)
	}
	other.Close()
	if err := d.Lock(Exclusive); err != nil || d.mode != Exclusive {
		t.Errorf("%v %v", d.mode, err)
	}
	// The directory stays usable without the lock.
	if err := d.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteRecord(&Record{ID: "one"}); err != nil {
		t.Error(err)
	}
	if err := d.Lock(Unlocked); err != nil {
		t.Error(err)
	}
}

// A create killed with -9 leaves what delete needs: the lock is free, the status
// is stopped, and the journal names what it did.
func TestKilledCreate(t *testing.T) {
	for name, record := range map[string]string{"before the record": "", "after the record": "1"} {
		t.Run(name, func(t *testing.T) {
			s := Open(t.TempDir() + "/root")
			file := t.TempDir() + "/made"
			cmd, _ := begin(t, "hold", s, "x", "BERTH_TEST_FILE="+file, "BERTH_TEST_RECORD="+record)
			d, err := s.Get("x", Unlocked)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			r, err := d.Record()
			if record == "" && err != ErrNoRecord || record != "" && err != nil {
				t.Fatalf("the record: %v", err)
			}
			if record != "" {
				if st, p, err := d.Probe(r); err != nil || st != Creating || p == nil || p.PID() != cmd.Process.Pid {
					t.Errorf("while create works: %v %v %v", st, p, err)
				} else {
					p.Close()
				}
			}
			cmd.Process.Kill()
			cmd.Wait()
			if busy, err := d.Busy(); busy || err != nil {
				t.Errorf("the lock of the dead: %v %v", busy, err)
			}
			if record != "" {
				if st, err := d.Status(r); err != nil || st != Stopped {
					t.Errorf("after create was killed: %v %v", st, err)
				}
			}
			del, err := s.Get("x", Exclusive)
			if err != nil {
				t.Fatal(err)
			}
			defer del.Close()
			j, err := del.Journal()
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			if err := j.Undo(sys.NewPatience(t.Context(), time.Second, nil), []Kind{fileKind}); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(file); !os.IsNotExist(err) {
				t.Errorf("the file is left: %v", err)
			}
			if err := del.Remove(); err != nil {
				t.Error(err)
			}
			if out, err := again(t, "create", s, "x").CombinedOutput(); err != nil {
				t.Errorf("the id can't be used again: %s", out)
			}
		})
	}
}

func BenchmarkLife(b *testing.B) {
	root := "/dev/shm"
	if _, err := os.Stat(root); err != nil {
		root = b.TempDir()
	}
	root, err := os.MkdirTemp(root, "berth-state")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(root)
	s := Open(root)
	r := &Record{ID: "x", Bundle: "/some/bundle", Created: time.Now()}
	for b.Loop() {
		d, err := s.Create("x")
		if err != nil {
			b.Fatal(err)
		}
		j, err := d.Journal()
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range []error{
			j.Note(Entry{Kind: "cgroup", Args: []string{"pids:0:/sys/fs/cgroup/pids/./x", "mark"}}), j.Note(ProcessEntry(1, 2)), d.WriteConfig([]byte("{}")),
			d.WriteRecord(r), d.WriteRecord(r), d.Remove(), j.Close(), d.Close(),
		} {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
