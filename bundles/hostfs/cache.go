package hostfs

import (
	"hash/fnv"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"berth/libcontainer/fault"
	"golang.org/x/sys/unix"
)

// keep is how many root filesystems the cache holds: a few commands in turn,
// and the host before and after an update. Those in use stay on top of that.
const keep = 4

// Entry is a root filesystem in the cache. Until Close nobody removes it, so
// close it after the container has ended. It belongs to all who ask for the
// same programs: mount it read-only.
type Entry struct {
	// Rootfs is the path of the root filesystem.
	Rootfs string
	// Report is of the build that made it.
	Report *Report
	// Built is true when it was not in the cache.
	Built bool
	lock  int
}

// Close gives up the claim.
func (e *Entry) Close() error {
	if e == nil || e.lock < 0 {
		return nil
	}
	fd := e.lock
	e.lock = -1
	return unix.Close(fd)
}

// Cached returns a root filesystem as Build makes it, from the directory
// cacheDir/hostfs, where it is built if there is none of these programs as the
// host has them now. The directory is made if absent; it must belong to the
// caller alone, since the container runs what is in it.
func Cached(cacheDir string, programs []string, opt Options) (*Entry, error) {
	dir := filepath.Join(cacheDir, "hostfs")
	if err := ownDir(dir); err != nil {
		return nil, err
	}
	request := requestText(programs, opt)
	prefix := digest(request) + "."
	for _, name := range readNames(dir) {
		if strings.HasPrefix(name, prefix) {
			if e := openEntry(filepath.Join(dir, name), request, opt); e != nil {
				return e, nil
			}
		}
	}
	return buildEntry(dir, prefix, request, programs, opt)
}

// requestText is all that the caller chose.
func requestText(programs []string, opt Options) string {
	var f fields
	for _, p := range list(programs, opt.Command) {
		// The command's place among the programs and the reason why one is taken
		// change the report.
		f.str(p.name)
		if p.optional {
			f.num(1)
		}
	}
	f.str(opt.Path, opt.Term, opt.Root)
	f.num(uint64(opt.Owner))
	return strings.ReplaceAll(f.b.String(), "\x00", "\n")
}

// digest shortens s for the name of a directory. Nobody gains by a collision:
// the manifest holds the whole request.
func digest(s string) string {
	h := fnv.New128a()
	h.Write([]byte(s))
	const hex = "0123456789abcdef"
	var out []byte
	for _, c := range h.Sum(nil) {
		out = append(out, hex[c>>4], hex[c&15])
	}
	return string(out)
}

// ownDir makes the cache directory and makes sure that nobody else can put
// programs there: under sudo, say, XDG_CACHE_HOME may still be another user's.
func ownDir(dir string) error {
	parent := filepath.Dir(dir)
	err := os.MkdirAll(filepath.Dir(parent), 0o755)
	for _, d := range []string{parent, dir} {
		if err == nil {
			if err = os.Mkdir(d, 0o755); err == nil {
				// Whatever the umask is: root of a user namespace must get through.
				err = os.Chmod(d, 0o755)
			} else if os.IsExist(err) {
				err = nil
			}
		}
	}
	if err != nil {
		return fault.Wrap("can't make the cache", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fault.Wrap("can't use the cache "+dir, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return &fault.Error{
			Msg: "can't use the cache " + dir, Err: os.ErrPermission,
			Hint: "it must belong to the caller, and only the caller may write to it",
		}
	}
	return nil
}

// claim opens an entry and takes its lock, shared for a user of it, exclusive for
// who removes it. It fails while the other kind is held.
func claim(p string, how int) (int, error) {
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var mine, there unix.Stat_t
	if err = unix.Flock(fd, how|unix.LOCK_NB); err == nil {
		// It may have been renamed away before the lock was held.
		err = unix.Fstat(fd, &mine)
	}
	if err == nil {
		err = unix.Lstat(p, &there)
	}
	if err == nil && mine.Ino != there.Ino {
		err = unix.ENOENT
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openEntry returns the entry at p if it serves, else nil.
func openEntry(p, request string, opt Options) *Entry {
	fd, err := claim(p, unix.LOCK_SH)
	if err != nil {
		return nil
	}
	e := &Entry{Rootfs: p + "/rootfs", lock: fd}
	text, err := os.ReadFile(p + "/manifest")
	if err == nil {
		e.Report = readManifest(string(text), request, opt.Root)
	}
	if e.Report == nil || !complete(e.Rootfs, e.Report) {
		e.Close()
		return nil
	}
	e.Report.Rootfs = e.Rootfs
	// Its time is when it was last used: the longest unused goes first.
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}, 0)
	return e
}

// complete says whether all files of a cached root filesystem are there with
// their sizes: cleaners of caches remove single files, and after a power cut a
// file may be empty.
func complete(rootfs string, rep *Report) bool {
	for i := range rep.Files {
		f := &rep.Files[i]
		var st unix.Stat_t
		if unix.Lstat(rootfs+f.Path, &st) != nil {
			return false
		}
		if f.Target == "" && st.Size != f.Bytes {
			return false
		}
	}
	return true
}

// buildEntry builds in a directory beside the entries and renames it: others see
// a whole entry or none.
func buildEntry(dir, prefix, request string, programs []string, opt Options) (*Entry, error) {
	b, err := plan(programs, opt)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return nil, fault.Wrap("can't write to the cache", err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		os.RemoveAll(tmp)
		return nil, fault.Wrap("can't write to the cache", err)
	}
	fd, err := claim(tmp, unix.LOCK_SH)
	if err != nil {
		os.RemoveAll(tmp)
		return nil, fault.Wrap("can't lock the new entry in the cache", err)
	}
	e := &Entry{lock: fd, Built: true}
	looks := looksText(b.host.looks)
	final := filepath.Join(dir, prefix+digest(looks))
	if e.Report, err = b.write(tmp+"/rootfs", opt.Owner); err == nil {
		err = os.WriteFile(tmp+"/manifest", []byte(manifestText(request, looks, e.Report)), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp, final)
	}
	if os.IsExist(err) {
		// Another caller built the same at the same time, or what is there is damaged.
		if other := openEntry(final, request, opt); other != nil {
			e.Close()
			os.RemoveAll(tmp)
			return other, nil
		}
		if err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, final, unix.RENAME_EXCHANGE); err == nil {
			os.RemoveAll(tmp)
		}
	}
	if err != nil {
		e.Close()
		os.RemoveAll(tmp)
		return nil, fault.Wrap("can't build a root filesystem in the cache", err)
	}
	e.Rootfs = final + "/rootfs"
	e.Report.Rootfs = e.Rootfs
	evict(dir)
	return e, nil
}

// abandoned is how old a half-built entry must be before it is removed: between
// its birth and its lock it has no protection but its youth.
const abandoned = time.Minute

// evict removes the entries that were unused longest, beyond those to keep, and
// what killed builders left. Whatever is in use stays, by its lock. It removes
// what it can; the next call removes the rest.
func evict(dir string) {
	type old struct {
		name string
		used time.Time
	}
	var entries []old
	for _, name := range readNames(dir) {
		fi, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || !fi.IsDir() {
			continue
		}
		if strings.HasPrefix(name, ".") {
			if time.Since(fi.ModTime()) > abandoned {
				remove(dir, name)
			}
			continue
		}
		entries = append(entries, old{name, fi.ModTime()})
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].used.After(entries[j].used) })
	for i := keep; i < len(entries); i++ {
		remove(dir, entries[i].name)
	}
}

// remove takes an entry out of sight before it takes it apart.
func remove(dir, name string) {
	p := filepath.Join(dir, name)
	fd, err := claim(p, unix.LOCK_EX)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	gone := filepath.Join(dir, ".old-"+strconv.Itoa(os.Getpid())+"-"+strings.TrimLeft(name, "."))
	if os.Rename(p, gone) == nil {
		os.RemoveAll(gone)
	}
}
