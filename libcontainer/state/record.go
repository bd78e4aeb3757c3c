package state

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/jsonw"
)

// recordVersion is raised when a reader of the version before would go wrong on
// a record. New fields alone do not raise it: readers pass over them.
const recordVersion = 1

// Record is what commands after create need to know about a container and can't
// ask the kernel.
type Record struct {
	ID     string
	Bundle string // absolute
	Rootfs string // absolute
	// PID and StartTime name the container's process (see OpenProcess); 0 before
	// it is born.
	PID       int
	StartTime uint64
	Created   time.Time
	// UID is the user who made the container.
	UID         int
	Annotations map[string]string
	// CgroupDriver is "cgroupfs" or "systemd"; Cgroups is what cgroups.Handle's
	// Records gave, and Mark the container's mark on them.
	CgroupDriver string
	Cgroups      []string
	Mark         string
	// PrivatePID is true when the container has a pid namespace of its own, whose
	// processes all die with the first.
	PrivatePID bool
	// Creating is true until create has done all its work.
	Creating bool
	// HasProcess is true when config.json has a process, so that start can work.
	HasProcess bool
	// Notify is true when the container has a notify socket (sd_notify(3)).
	Notify bool
	// NoPivot, NoNewKeyring, ListenFDs and PreserveFDs are what create was asked for
	// beside config.json, Ignored and Blocked the signals that its caller ignored and
	// blocked: with them the container's program can be compiled again.
	NoPivot, NoNewKeyring  bool
	ListenFDs, PreserveFDs int
	Ignored, Blocked       uint64
	// StartHooks is true when the config has hooks that start runs.
	StartHooks bool
	// ForEach is true when the config has what holds for each process, also of exec: a
	// system call filter, a memory policy, a personality.
	ForEach bool
	// Program is the program's digest, by which it is known again.
	Program uint64
}

// WriteRecord replaces the record.
func (d *Dir) WriteRecord(r *Record) error { return d.replace(recordFile, encodeRecord(r)) }

// Record reads the record; ErrNoRecord where there is none. It needs no lock.
func (d *Dir) Record() (*Record, error) {
	data, err := d.read(recordFile)
	if err == unix.ENOENT {
		if linked, lerr := d.linked(); lerr == nil && !linked {
			return nil, ErrNotExist // deleted since we opened it
		}
		return nil, ErrNoRecord
	}
	if err != nil {
		return nil, fault.Wrap("cannot read "+d.path+"/"+recordFile, err)
	}
	r, err := decodeRecord(data)
	if err != nil {
		return nil, fault.Wrap("cannot understand "+d.path+"/"+recordFile, err)
	}
	return r, nil
}

func encodeRecord(r *Record) []byte {
	e := jsonw.New("")
	e.Bytes = true
	e.Begin('{')
	e.Key("version").Int(recordVersion)
	e.Key("id").Str(r.ID)
	e.Key("bundle").Str(r.Bundle)
	e.Key("rootfs").Str(r.Rootfs)
	e.Key("pid").Int(r.PID)
	e.Key("startTime").Uint(r.StartTime)
	e.Key("created").Str(r.Created.UTC().Format(time.RFC3339Nano))
	e.Key("uid").Int(r.UID)
	if len(r.Annotations) > 0 {
		e.Key("annotations").StrMap(r.Annotations)
	}
	e.Key("cgroupDriver").Str(r.CgroupDriver)
	e.Key("cgroups").Strs(r.Cgroups)
	e.Key("mark").Str(r.Mark)
	e.Key("privatePid").Bool(r.PrivatePID)
	e.Key("creating").Bool(r.Creating)
	e.Key("hasProcess").Bool(r.HasProcess)
	e.Key("noPivot").Bool(r.NoPivot)
	e.Key("noNewKeyring").Bool(r.NoNewKeyring)
	e.Key("listenFDs").Int(r.ListenFDs)
	e.Key("preserveFDs").Int(r.PreserveFDs)
	e.Key("notify").Bool(r.Notify)
	e.Key("ignored").Uint(r.Ignored)
	e.Key("blocked").Uint(r.Blocked)
	e.Key("startHooks").Bool(r.StartHooks)
	e.Key("forEach").Bool(r.ForEach)
	e.Key("program").Uint(r.Program)
	return e.End()
}

// decodeRecord takes a record apart. The version stands first, so that a newer
// one is told before anything in it is misunderstood.
func decodeRecord(data []byte) (*Record, error) {
	r := &Record{}
	seen := false
	d := decoder{buf: data}
	d.object(func(key string) {
		if !seen {
			seen = true
			d.version(key)
			return
		}
		d.field(r, key)
	})
	d.end()
	if d.err == nil && !seen {
		d.fail("no version")
	}
	if d.err != nil {
		return nil, d.err
	}
	return r, nil
}

func (d *decoder) version(key string) {
	if key != "version" {
		d.fail("does not begin with a version")
		return
	}
	v := d.int()
	if d.err == nil && (v < 1 || v > recordVersion) {
		d.err = &fault.Error{
			Msg:  "version " + strconv.FormatInt(v, 10) + " is not known, only up to " + strconv.Itoa(recordVersion),
			Hint: "the container was made by a newer berth: use that one",
		}
	}
}

func (d *decoder) field(r *Record, key string) {
	switch key {
	case "id":
		r.ID = d.str()
	case "bundle":
		r.Bundle = d.str()
	case "rootfs":
		r.Rootfs = d.str()
	case "pid":
		r.PID = int(d.int())
	case "startTime":
		r.StartTime = d.uint()
	case "created":
		d.time(&r.Created)
	case "uid":
		r.UID = int(d.int())
	case "annotations":
		r.Annotations = map[string]string{}
		d.object(func(name string) { r.Annotations[name] = d.str() })
	case "cgroupDriver":
		r.CgroupDriver = d.str()
	case "cgroups":
		d.array(func() { r.Cgroups = append(r.Cgroups, d.str()) })
	case "mark":
		r.Mark = d.str()
	case "privatePid":
		r.PrivatePID = d.bool()
	case "creating":
		r.Creating = d.bool()
	case "hasProcess":
		r.HasProcess = d.bool()
	case "noPivot":
		r.NoPivot = d.bool()
	case "noNewKeyring":
		r.NoNewKeyring = d.bool()
	case "listenFDs":
		r.ListenFDs = int(d.int())
	case "notify":
		r.Notify = d.bool()
	case "ignored":
		r.Ignored = d.uint()
	case "blocked":
		r.Blocked = d.uint()
	case "preserveFDs":
		r.PreserveFDs = int(d.int())
	case "startHooks":
		r.StartHooks = d.bool()
	case "forEach":
		r.ForEach = d.bool()
	case "program":
		r.Program = d.uint()
	default:
		d.skip(0)
	}
}

func (d *decoder) time(t *time.Time) {
	s := d.str()
	if d.err != nil {
		return
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		d.fail("created is no time: " + strconv.Quote(s))
		return
	}
	*t = v
}
