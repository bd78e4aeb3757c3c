// Package diff runs containers of random valid configs under Berth and under the
// other runtimes that are installed, and compares all that a program inside can
// observe, how the run ended, and what is left outside. A config is a list of
// features, drawn from a seed; one that shows a difference is shrunk to the fewest
// features that still do. Differences that are meant stand in a table, with the
// reason (known_test.go); any other fails the test.
//
//	go test ./tests/diff -args -n 1000 -seed 7
package diff

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

var (
	count  = flag.Int("n", 25, "how many configs")
	seed   = flag.Uint64("seed", 1, "from which they are drawn")
	survey = flag.Bool("survey", false, "count the differences by what they are about, shrink none")
)

func TestMain(m *testing.M) { flag.Parse(); harness.Main(m) }

// seen is what one runtime made of a config: what the probe printed, and beside it
// how the run ended ("exit") and what is left outside ("left ...").
type seen map[string]string

// bench is what all runs have in common.
type bench struct {
	t        *testing.T
	probe    string
	runtimes map[string]string // binaries by name
	order    []string
	runs     int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	harness.NeedRoot(t)
	harness.Need(t, "unshare", "util-linux")
	b := &bench{t: t, runtimes: map[string]string{"berth": harness.New(t).Binary}, order: []string{"berth"}}
	for _, name := range []string{"runc", "crun"} {
		if p, err := exec.LookPath(name); err == nil {
			b.runtimes[name], b.order = p, append(b.order, name)
		}
	}
	if len(b.order) == 1 {
		t.Skip("needs runc or crun (Debian: runc, crun)")
	}
	b.probe = filepath.Join(t.TempDir(), "probe")
	cmd := exec.Command("go", "build", "-o", b.probe, "./probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %s", out)
	}
	return b
}

// fixture is what a bundle has beside the image: places to mount on, links, and a
// tree to bind from. A tmpfs is mounted in that when the host is prepared.
func fixture(t *testing.T, bundle, probe string) {
	t.Helper()
	root := filepath.Join(bundle, "rootfs")
	for _, d := range []string{"data/dir", "mnt", "run"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	for _, d := range []string{"src/dir", "src/tmpfs", "dev"} {
		must(t, os.MkdirAll(filepath.Join(bundle, d), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "data/file"), []byte("data\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(bundle, "src/file"), []byte("source\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(bundle, "src/dir/inner"), []byte("inner\n"), 0o644))
	must(t, os.Symlink("/data", filepath.Join(root, "link")))
	must(t, os.Link(probe, filepath.Join(root, "bin/probe")))
	// Owners are as in an image, whoever runs the tests.
	must(t, os.Chmod(filepath.Join(root, "data"), 0o775))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// script prepares a host whose mounts spread to each other, as on each one with
// systemd, or do not; runs the runtime; and compares the mounts before and after. crun
// refuses a host that has cgroup v2 beside v1, so all are run without it; and it gives
// the caller's /dev/null to the container's root, so that is not the machine's.
const script = `for m in $(awk '/ - cgroup2 / { print $5 }' /proc/self/mountinfo); do umount -l "$m"; done
	mount --make-r$1 / && mount -t tmpfs fixture "$2/src/tmpfs" && mkdir "$2/src/tmpfs/in" &&
	mount -t tmpfs null "$2/dev" && mknod -m 666 "$2/dev/null" c 1 3 && mount --bind "$2/dev/null" /dev/null || exit 99
	sed 's/^[0-9]* [0-9]* //' /proc/self/mountinfo | sort > "$2/before"; bundle=$2; shift 2
	"$@" </dev/null; code=$?
	sed 's/^[0-9]* [0-9]* //' /proc/self/mountinfo | sort > "$bundle/after"; exit $code`

// run runs one config under one runtime.
func (b *bench) run(name string, list []choice, shared bool) seen {
	b.t.Helper()
	b.runs++
	out := seen{}
	b.t.Run(fmt.Sprintf("%d %s", b.runs, name), func(t *testing.T) {
		h := harness.New(t)
		h.Binary = b.runtimes[name]
		bundle := harness.Bundle(t, func(s *specs.Spec) {
			s.Process.Args = append([]string{"/bin/probe", "/data/file", "/etc/passwd", "/proc/kcore", "/proc/sys", "/sys/firmware", "/"}, places...)
			apply(list, s)
		})
		config := filepath.Join(bundle, "config.json")
		must(t, os.WriteFile(config, []byte(strings.ReplaceAll(harness.ReadFile(t, config), bundleDir, bundle)), 0o644))
		fixture(t, bundle, b.probe)
		id := harness.ID(t)
		word := map[bool]string{true: "shared", false: "private"}[shared]
		res := h.Via([]string{"timeout", "30", "unshare", "-m", "sh", "-c", script, "sh", word, bundle}, "run", "--bundle", bundle, id)
		if json.Unmarshal([]byte(res.Stdout), &out) != nil {
			out = seen{} // the run failed: how each says so is not compared
		}
		out["exit"] = fmt.Sprint(res.Code)
		for _, l := range changed(harness.ReadFile(t, filepath.Join(bundle, "before")), harness.ReadFile(t, filepath.Join(bundle, "after"))) {
			out["left mount "+l] = "there"
		}
		for _, l := range h.Left(id) {
			out["left "+l] = "there"
		}
		if res.Code != 0 {
			out["said"] = res.Stderr
		}
		out = normal(out, strings.NewReplacer(bundle, "BUNDLE", filepath.Base(bundle), "BUNDLE", id, "ID", h.Root, "ROOT"))
	})
	return out
}

func changed(before, after string) []string {
	a, b := harness.Lines(before), harness.Lines(after)
	var list []string
	for _, l := range b {
		if !slices.Contains(a, l) {
			list = append(list, l)
		}
	}
	for _, l := range a {
		if !slices.Contains(b, l) {
			list = append(list, "(gone) "+l)
		}
	}
	return list
}

// normal takes out what differs from run to run.
func normal(s seen, r *strings.Replacer) seen {
	out := seen{}
	for k, v := range s {
		if file, ok := strings.CutPrefix(k, "ns "); ok {
			own, _ := os.Readlink("/proc/self/ns/" + file)
			v = map[bool]string{true: "the host's", false: "its own"}[v == own]
		}
		if k == "mounts" || k == "control devices/devices.list" {
			// Rules are a set to the kernel; so are mounts, but for those on one place.
			list := strings.FieldsFunc(v, func(c rune) bool { return c == ';' || k == "mounts" && c == ' ' })
			for i := range list {
				list[i] = strings.TrimSpace(list[i])
			}
			slices.Sort(list)
			v = strings.Join(list, "; ")
		}
		out[r.Replace(k)] = r.Replace(v)
	}
	return out
}

// difference is one thing that Berth and a peer do not agree on.
type difference struct{ key, berth, peer, name string }

func (d difference) String() string {
	if d.key == "mounts" {
		return fmt.Sprintf("mounts: berth alone has %v, %s alone %v", d.only(true), d.name, d.only(false))
	}
	return fmt.Sprintf("%s: berth %q, %s %q", d.key, d.berth, d.name, d.peer)
}

// only lists what one side of a difference of lists has and the other has not.
func (d difference) only(berth bool) []string {
	a, b := strings.Split(d.berth, "; "), strings.Split(d.peer, "; ")
	if !berth {
		a, b = b, a
	}
	var list []string
	for _, v := range a {
		if !slices.Contains(b, v) {
			list = append(list, v)
		}
	}
	return list
}

// results are what each runtime made of a config.
type results map[string]seen

// compare lists the differences between Berth and one peer that are not known.
func (all results) compare(name string, used map[*known]int) []difference {
	mine, theirs := all["berth"], all[name]
	var list []difference
	keys := map[string]bool{}
	for k := range mine {
		keys[k] = true
	}
	for k := range theirs {
		keys[k] = true
	}
	if mine["exit"] != "0" || theirs["exit"] != "0" {
		// One did not run: nothing else can be compared, but for what is left.
		for k := range keys {
			if k != "exit" && !strings.HasPrefix(k, "left ") {
				delete(keys, k)
			}
		}
	}
	for k := range keys {
		d := difference{k, mine[k], theirs[k], name}
		if d.berth != d.peer && !oneSided(k, mine, theirs) && !all.argued(d, used) {
			list = append(list, d)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].key < list[j].key })
	return list
}

// oneSided says whether a key is about a mount that one of the two has not: that it
// is missing says "mounts".
func oneSided(key string, mine, theirs seen) bool {
	place, ok := strings.CutPrefix(key, "mount ")
	if !ok {
		return false
	}
	place = place[:strings.LastIndexByte(place, ' ')]
	return mine["mount "+place+" type"] == "" || theirs["mount "+place+" type"] == ""
}

// runAll runs a config under Berth and each peer.
func (b *bench) runAll(list []choice, shared bool) results {
	b.t.Helper()
	all := results{}
	for _, name := range b.order {
		all[name] = b.run(name, list, shared)
	}
	return all
}

// shrink leaves out features as long as the difference stays.
func (b *bench) shrink(name string, list []choice, shared bool, key string) []choice {
	for i := 0; i < len(list); {
		less := slices.Delete(slices.Clone(list), i, i+1)
		found := b.runAll(less, shared).compare(name, map[*known]int{})
		if slices.ContainsFunc(found, func(d difference) bool { return d.key == key }) {
			list = less
			continue
		}
		i++
	}
	return list
}

// most bounds how many differences are shrunk and told.
const most = 20

// TestAgainstPeers is the comparison.
func TestAgainstPeers(t *testing.T) {
	b := newBench(t)
	used := map[*known]int{}
	ran, reported := 0, 0
	about := map[string][]string{}
	for i := range *count {
		r := rand.New(rand.NewPCG(*seed, uint64(i)))
		list, shared := draw(r), coin(r)
		all := b.runAll(list, shared)
		mine := all["berth"]
		if mine["exit"] == "0" {
			ran++
		}
		for _, name := range b.order[1:] {
			found := all.compare(name, used)
			if *survey {
				for _, d := range found {
					about[d.name+" "+d.key] = append(about[d.name+" "+d.key], fmt.Sprintf("%v, config %d %v, berth said %q, %s %q", d, i, list, mine["said"], d.name, all[d.name]["said"]))
				}
				continue
			}
			if len(found) == 0 || reported == most {
				continue
			}
			reported++
			least := b.shrink(name, list, shared, found[0].key)
			t.Errorf("config %d of seed %d (%v, shared host %v) differs from %s in %d points, the first with no more than %v:\n%v\nberth said %q, %s %q",
				i, *seed, list, shared, name, len(found), least, found[:min(len(found), 12)], mine["said"], name, all[name]["said"])
		}
	}
	for key, list := range about {
		t.Errorf("%d times: %s: %s", len(list), key, list[0])
	}
	var words []string
	for k, n := range used {
		words = append(words, fmt.Sprintf("%6d %s", n, k.why))
	}
	sort.Strings(words)
	t.Logf("%d configs, %d of them ran under Berth; differences that are argued:\n%s", *count, ran, strings.Join(words, "\n"))
	if ran < *count/3 {
		t.Errorf("only %d of %d configs ran at all", ran, *count)
	}
}
