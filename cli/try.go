package cli

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/bundles"
	"berth/bundles/hostfs"
	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/foreground"
)

var optVerbose = option{name: "verbose", kind: toggle, usage: "tell what the root file system is made of"}

var tryCommand = command{
	name:  "try",
	args:  "[command [argument ...]]",
	usage: "run a command of this machine in a throw-away container",
	about: `Runs a command, or a shell, in a container whose root file system is made of this
machine's own programs. It has no network but its own loopback; /tmp, /root, /run
and /var can be written to and are gone afterwards. No image and no bundle is
needed, and no root where users may make user namespaces. The exit status is that
of the command.`,
	options: []*option{&optTTY, &optVerbose},
	most:    -1,
	foreign: true,
	run: func(c *call) (int, error) {
		status, err := c.try()
		if err != nil {
			return 1, prefix("try", err)
		}
		return status, nil
	},
}

func (c *call) try() (int, error) {
	rt, err := c.runtime()
	if err != nil {
		return 1, err
	}
	opt, err := bundleOptions()
	if err != nil {
		return 1, err
	}
	opt.Args = c.args
	opt.Terminal = c.wantsTerminal()
	cache := bundles.CacheDir(os.Geteuid(), os.Getenv)
	done, err := c.places(rt, &cache)
	if err != nil {
		return 1, err
	}
	defer done()
	box, err := bundles.Ephemeral(cache, opt)
	if err != nil {
		return 1, err
	}
	defer box.Close()
	if c.on(&optVerbose) {
		writeAll(2, []byte(pulledIn(box.Report)))
	}
	for _, w := range box.Report.Warnings {
		c.log.warn(w)
	}
	raw, err := bundles.Encode(box.Spec)
	if err != nil {
		return 1, err
	}
	ctx, settled := interruptible()
	return foreground.Run(ctx, rt, tryID(), &foreground.Options{CreateOptions: libcontainer.CreateOptions{Spec: box.Spec, Raw: raw}, Running: settled})
}

// wantsTerminal: where a person sits at both ends, unless the options say
// otherwise. Through a pipe a terminal would turn each line end into two characters.
func (c *call) wantsTerminal() bool {
	if text, given := c.given(&optTTY); given {
		return text == "true"
	}
	return isTerminal(0) && isTerminal(1)
}

// places finds where state and cache can lie for a user who has no directory of
// either kind: in one that is gone afterwards.
func (c *call) places(rt *libcontainer.Runtime, cache *string) (done func(), err error) {
	if err := c.makeRoot(rt); err != nil {
		return nil, err
	}
	_, given := c.given(&optRoot)
	homeless := !given && rt.Root == systemRoot && os.Geteuid() != 0
	if *cache != "" && os.MkdirAll(*cache, 0o755) != nil {
		*cache = ""
	}
	if !homeless && *cache != "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "berth-try-")
	if err != nil {
		return nil, fault.Wrap("cannot make a directory for the container's state", err)
	}
	if homeless {
		rt.Root = dir + "/run"
	}
	if *cache == "" {
		*cache = dir + "/cache"
	}
	return func() { os.RemoveAll(dir) }, nil
}

// tryID is an id that nobody else has. (crypto/rand would be paid for at the
// start of every command.)
func tryID() string {
	var b [8]byte
	n := uint64(time.Now().UnixNano())
	if got, err := unix.Getrandom(b[:], 0); err == nil && got == len(b) {
		n = binary.NativeEndian.Uint64(b[:])
	}
	return "try-" + strconv.FormatUint(n, 36)
}

// pulledIn lists the programs of a root filesystem, and what each of them brought.
func pulledIn(rep *hostfs.Report) string {
	p := newPage(2, os.Getenv)
	for i := range rep.Programs {
		pr := &rep.Programs[i]
		text := pr.Path + " (" + pr.Kind + ")"
		if len(pr.Needs) > 0 {
			text += ": " + strings.Join(pr.Needs, " ")
		}
		p.paragraph("  "+pad(pr.Name, 12), text)
	}
	if len(rep.Absent) > 0 {
		p.paragraph("  "+pad("not here", 12), strings.Join(rep.Absent, " "))
	}
	p.line("  in all ", count(len(rep.Files), "file"), ", ", size(rep.Bytes), ", in ", rep.Rootfs)
	return p.b.String()
}
