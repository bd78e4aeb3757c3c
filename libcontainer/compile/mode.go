package compile

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// keepMode gives a tmpfs the mode of the directory that it is mounted on, and none
// where that is made just now: an image's /var/cache of mode 0711 stays so. It
// returns the mount point, open. The mode is an option and not set afterwards, so
// that /proc/mounts says it.
func (c *compiler) keepMode(fs *program.Slot, l *layer) *program.Slot {
	made := c.Slot("made")
	c.Set(made, program.Int(0), "note that the mount point was there")
	to := c.openMountPoint(l, makeDirectory, made)
	text := program.Buffer(16, "mode")
	given, kept := c.Label(), c.Label()
	c.statFD(to, "look at the mount point's mode")
	c.Expect(program.From(made), ^uint64(0), 0, unix.ENOENT, "see whether it was there").On(unix.ENOENT, given)
	for _, usual := range [...]struct {
		mode uint64
		text string
	}{{0o755, "755"}, {0o1777, "1777"}} {
		next := c.Label()
		c.Expect(program.From(c.statMode()), 0o7777<<modeShift, usual.mode<<modeShift, unix.EDOM, "see whether it is "+usual.text).On(unix.EDOM, next)
		c.Set(digits(text, 0), program.Uint(packed(usual.text)), "write "+usual.text)
		c.Jump(kept, "go on")
		c.Here(next)
	}
	c.Expect(program.Int(0), 0, 1, unix.EDOM, "write it digit by digit").Fixup(c.octal(to, text))
	c.Here(kept)
	c.Do(program.CallFsconfig, "keep the mount point's mode", program.From(fs), program.Int(unix.FSCONFIG_SET_STRING), program.Path("mode"),
		program.Ptr(text), program.Int(0))
	c.Here(given)
	return to
}

// octal is the fixup that writes the mode of an open file as four octal digits.
func (c *compiler) octal(fd *program.Slot, text *program.Data) program.Fixup {
	b := &program.Builder{Phase: c.Phase, JSONPath: c.JSONPath}
	b.Do(program.CallStatx, "look at its mode", program.From(fd), program.Path(""),
		program.Int(unix.AT_EMPTY_PATH), program.Uint(unix.STATX_MODE), program.Ptr(c.stat))
	for i := range 4 {
		shift := modeShift + 3*(3-i)
		done := b.Label()
		for d := range uint64(8) {
			next := b.Label()
			if d < 7 {
				b.Expect(program.From(c.statMode()), 7<<shift, d<<shift, unix.EDOM, "read a digit").On(unix.EDOM, next)
			}
			// The zeros above the digit are overwritten by the next one.
			b.Set(digits(text, i), program.Uint('0'+d), "write it")
			if d < 7 {
				b.Jump(done, "go on")
				b.Here(next)
			}
		}
		b.Here(done)
	}
	return program.Fixup{On: []unix.Errno{unix.EDOM}, Why: "write the mode", Steps: b.Steps(), Then: program.Next}
}

// digits is the cell of a text from a digit on.
func digits(text *program.Data, at int) *program.Slot {
	return &program.Slot{Name: "mode", Home: text, Off: at, Inherited: -1}
}

// packed is a short text as the eight bytes of a cell.
func packed(s string) uint64 {
	var b [8]byte
	copy(b[:], s)
	return binary.LittleEndian.Uint64(b[:])
}
