package hostfs

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// cacheHost is a small host whose programs a test can change.
func cacheHost(t *testing.T) (root, cache string) {
	t.Helper()
	root = libHost(t, map[string]image{
		"/bin/p": {interp: ldLinux, needed: []string{"libc.so.6", "a.so"}}, "/usr/lib/a.so": {}, "/bin/q": {interp: ldLinux},
	})
	return root, t.TempDir()
}

func cached(t *testing.T, cache, root string, programs ...string) *Entry {
	t.Helper()
	e, err := Cached(cache, programs, Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestCacheHit(t *testing.T) {
	root, cache := cacheHost(t)
	a := cached(t, cache, root, "p", "nowhere")
	b := cached(t, cache, root, "p", "nowhere")
	if !a.Built || b.Built || a.Rootfs != b.Rootfs {
		t.Errorf("first built %v in %s, second built %v in %s", a.Built, a.Rootfs, b.Built, b.Rootfs)
	}
	if !reflect.DeepEqual(a.Report, b.Report) {
		t.Errorf("the report changed on its way: %+v, %+v", a.Report, b.Report)
	}
	if len(b.Report.Warnings) != 1 || b.Report.Bytes == 0 {
		t.Errorf("report %+v", b.Report)
	}
	if c := cached(t, cache, root, "q"); !c.Built || c.Rootfs == a.Rootfs {
		t.Error("another program got the same root filesystem")
	}
}

// TestCacheNotices changes the host in every way that changes the result.
func TestCacheNotices(t *testing.T) {
	for name, change := range map[string]func(root string){
		"library replaced":           func(root string) { put(t, root, "/usr/lib/a.so", string(image{soname: "x"}.bytes()), 0o755) },
		"library in front of it":     func(root string) { put(t, root, "/usr/lib64/a.so", string(image{}.bytes()), 0o755) },
		"missing program came":       func(root string) { put(t, root, "/usr/bin/nowhere", "data", 0o755) },
		"program in front in PATH":   func(root string) { put(t, root, "/usr/local/bin/p", "data", 0o755) },
		"mode":                       func(root string) { os.Chmod(root+"/bin/p", 0o700) },
		"ld.so.cache came":           func(root string) { put(t, root, cachePath, "index", 0o644) },
		"program gone":               func(root string) { os.Remove(root + "/bin/q") },
		"program became a link":      func(root string) { os.Remove(root + "/bin/q"); symlink(t, root, "p", "bin/q") },
		"same size, another content": func(root string) { touch(t, root+"/usr/lib/a.so") },
	} {
		root, cache := cacheHost(t)
		first := cached(t, cache, root, "p", "q", "nowhere")
		change(root)
		if second := cached(t, cache, root, "p", "q", "nowhere"); !second.Built || second.Rootfs == first.Rootfs {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func touch(t *testing.T, p string) {
	t.Helper()
	now := time.Now().Add(time.Second)
	if err := os.Chtimes(p, now, now); err != nil {
		t.Fatal(err)
	}
}

// TestCacheOverlooks changes what has no say: a new file in a library directory.
func TestCacheOverlooks(t *testing.T) {
	root, cache := cacheHost(t)
	cached(t, cache, root, "p")
	put(t, root, "/usr/lib/unrelated.so", "data", 0o644)
	put(t, root, "/etc/unrelated", "data", 0o644)
	if cached(t, cache, root, "p").Built {
		t.Error("built again for a file that no program uses")
	}
}

// TestCacheListing has a directory whose names count: ld.so.conf.d.
func TestCacheListing(t *testing.T) {
	root, cache := cacheHost(t)
	put(t, root, cachePath, "index", 0o644)
	put(t, root, "/etc/ld.so.conf", "include ld.so.conf.d/*.conf\n", 0o644)
	put(t, root, "/etc/ld.so.conf.d/a.conf", "/opt/a\n", 0o644)
	put(t, root, "/opt/b/a.so", string(image{}.bytes()), 0o644)
	cached(t, cache, root, "p")
	time.Sleep(20 * time.Millisecond) // the clock of the file system ticks every few milliseconds
	put(t, root, "/etc/ld.so.conf.d/b.conf", "/opt/b\n", 0o644)
	e := cached(t, cache, root, "p")
	if !e.Built || has(e.Report, "/opt/b/a.so") == nil {
		t.Error("a new file in ld.so.conf.d went unnoticed")
	}
	if cached(t, cache, root, "p").Built {
		t.Error("built again without a change")
	}
}

// TestCacheDamage breaks an entry in the ways that cleaners and power cuts do.
func TestCacheDamage(t *testing.T) {
	for name, damage := range map[string]func(entry string){
		"file gone":      func(e string) { os.Remove(e + "/rootfs/usr/lib/a.so") },
		"file empty":     func(e string) { os.Truncate(e+"/rootfs/usr/lib/a.so", 0) },
		"manifest gone":  func(e string) { os.Remove(e + "/manifest") },
		"manifest empty": func(e string) { os.Truncate(e+"/manifest", 0) },
		"manifest short": func(e string) { os.Truncate(e+"/manifest", 600) },
		"manifest odd": func(e string) {
			b, _ := os.ReadFile(e + "/manifest")
			os.WriteFile(e+"/manifest", []byte(strings.ReplaceAll(string(b), "\x001\x00", "\x00zzzzzzzzz\x00")), 0o644)
		},
	} {
		root, cache := cacheHost(t)
		first := cached(t, cache, root, "p")
		first.Close()
		damage(filepath.Dir(first.Rootfs))
		second := cached(t, cache, root, "p")
		if !second.Built {
			t.Errorf("%s: used all the same", name)
		}
		if !complete(second.Rootfs, second.Report) {
			t.Errorf("%s: not repaired", name)
		}
		if cached(t, cache, root, "p").Built {
			t.Errorf("%s: the repair does not last", name)
		}
	}
}

func TestManifestEnds(t *testing.T) {
	root, cache := cacheHost(t)
	e := cached(t, cache, root, "p")
	b, err := os.ReadFile(filepath.Dir(e.Rootfs) + "/manifest")
	if err != nil {
		t.Fatal(err)
	}
	request := requestText([]string{"p"}, Options{Root: root})
	if readManifest(string(b), request, root) == nil {
		t.Fatal("the manifest can't be read")
	}
	for i := range b {
		if readManifest(string(b[:i]), request, root) != nil {
			t.Fatalf("cut at %d it still counts", i)
		}
	}
}

func TestCacheConcurrent(t *testing.T) {
	root, cache := cacheHost(t)
	var wg sync.WaitGroup
	entries := make([]*Entry, 16)
	for i := range entries {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			if entries[i], err = Cached(cache, []string{"p"}, Options{Root: root}); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	for _, e := range entries {
		if e == nil {
			t.Fatal("no entry")
		}
		if e.Rootfs != entries[0].Rootfs || !complete(e.Rootfs, e.Report) {
			t.Errorf("%s is not %s, or not whole", e.Rootfs, entries[0].Rootfs)
		}
		e.Close()
	}
	if names := readNames(filepath.Join(cache, "hostfs")); len(names) != 1 {
		t.Errorf("left in the cache: %q", names)
	}
}

func TestCacheEviction(t *testing.T) {
	root, cache := cacheHost(t)
	held := cached(t, cache, root, "p")
	dir := filepath.Join(cache, "hostfs")
	// What a killed builder left, and what one is at work on.
	for name, age := range map[string]time.Duration{".new-dead": time.Hour, ".new-young": 0} {
		if err := os.MkdirAll(filepath.Join(dir, name, "rootfs"), 0o755); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	for i := range keep + 3 {
		cached(t, cache, root, "q", "missing"+strconv.Itoa(i)).Close()
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := os.Stat(held.Rootfs + "/bin/p"); err != nil {
		t.Errorf("the root filesystem in use is gone: %v", err)
	}
	names := readNames(dir)
	// Those to keep, the one in use and the young one.
	if len(names) != keep+2 || contains(names, ".new-dead") || !contains(names, ".new-young") {
		t.Errorf("in the cache: %q", names)
	}
	held.Close()
	cached(t, cache, root, "q", "another").Close()
	if _, err := os.Stat(held.Rootfs); err == nil {
		t.Error("the root filesystem given up is still there")
	}
}

// TestCacheOfAnother refuses a cache that others can write to.
func TestCacheOfAnother(t *testing.T) {
	root, cache := cacheHost(t)
	dir := filepath.Join(cache, "hostfs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Cached(cache, []string{"p"}, Options{Root: root}); err == nil {
		t.Error("a cache that all may write to was used")
	}
	if os.Geteuid() == 0 {
		os.Chmod(dir, 0o755)
		os.Chown(dir, 12345, 12345)
		if _, err := Cached(cache, []string{"p"}, Options{Root: root}); err == nil {
			t.Error("a cache of another user was used")
		}
	}
}

func BenchmarkCached(b *testing.B) {
	cache := b.TempDir()
	for b.Loop() {
		e, err := Cached(cache, nil, Options{})
		if err != nil {
			b.Fatal(err)
		}
		e.Close()
	}
}
