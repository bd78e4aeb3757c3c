package seccomp

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// peer is libseccomp, in a process of its own: what this package is held against.
type peer struct {
	bin   string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	known map[Arch]map[string]uint32
}

// startPeer builds and starts testdata/libseccomp.c.
func startPeer(t testing.TB) *peer {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc to build what asks libseccomp")
	}
	p := &peer{bin: filepath.Join(t.TempDir(), "libseccomp"), known: map[Arch]map[string]uint32{}}
	if out, err := exec.Command(gcc, "-O1", "-o", p.bin, "testdata/libseccomp.c", "-lseccomp").CombinedOutput(); err != nil {
		if strings.Contains(string(out), "seccomp.h") {
			t.Skip("no libseccomp-dev to compare with")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	p.start(t)
	t.Cleanup(func() {
		p.in.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *peer) start(t testing.TB) {
	t.Helper()
	p.cmd = exec.Command(p.bin)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 1<<20)
}

// errEndless: libseccomp did not come to an end.
var errEndless = errors.New("libseccomp does not come to an end")

func (p *peer) ask(t testing.TB, text string) (string, error) {
	t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		t.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	if err == nil {
		return strings.TrimSpace(line), nil
	}
	p.in.Close()
	ended := p.cmd.Wait()
	p.start(t)
	var exit *exec.ExitError
	if errors.As(ended, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGPROF {
		return "", errEndless
	}
	t.Fatalf("libseccomp's process has ended: %v, asked\n%s", ended, text)
	return "", nil
}

// token is libseccomp's number of an architecture, 0 where Debian's does not have it.
func token(a Arch) uint32 {
	switch a {
	case X32:
		return 62 | auditLE
	case Loong64, M68K, SH, SHEB:
		return 0
	}
	return a.Audit()
}

// table has the numbers of the calls that libseccomp knows on an architecture.
func (p *peer) table(t testing.TB, a Arch) map[string]uint32 {
	t.Helper()
	if m := p.known[a]; m != nil {
		return m
	}
	m := map[string]uint32{}
	ranges := [][2]uint32{{arches[a].base, arches[a].base + 600}}
	if a == ARM {
		ranges = append(ranges, [2]uint32{armBase, armBase + 16})
	}
	for _, r := range ranges {
		line, err := p.ask(t, fmt.Sprintf("names %#x %d %d\n", token(a), r[0], r[1]))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range strings.Fields(line)[1:] {
			name, n, _ := strings.Cut(w, "=")
			nr, err := strconv.ParseUint(n, 10, 32)
			if err != nil {
				t.Fatal(line)
			}
			m[name] = uint32(nr)
		}
	}
	p.known[a] = m
	return m
}

// knows says whether libseccomp has a call of that name anywhere.
func (p *peer) knows(t testing.TB, name string) bool {
	for _, a := range Arches() {
		if token(a) == 0 {
			continue
		}
		if _, ok := p.table(t, a)[name]; ok {
			return true
		}
	}
	return false
}

// compile has libseccomp make the filter of a profile as runc does, without runc's own
// part for new calls. An error is what libseccomp refuses.
func (p *peer) compile(t testing.TB, s *specs.LinuxSeccomp, native Arch, optimize int) ([]Insn, error) {
	t.Helper()
	sound, err := parse(s, native)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "begin %#x\narch", sound.action)
	for _, a := range sound.archs {
		fmt.Fprintf(&b, " %#x", token(a))
	}
	fmt.Fprintf(&b, "\noptimize %d\n", optimize)
	for i := range sound.rules {
		r := &sound.rules[i]
		fmt.Fprintf(&b, "rule %#x %s %d", r.action, callName(r.call), len(r.conditions))
		for _, c := range r.conditions {
			v, w := c.value, uint64(0)
			if c.op == opMasked {
				v, w = c.mask, c.value
			}
			fmt.Fprintf(&b, " %d %d %x %x", c.arg, c.op+1, v, w)
		}
		b.WriteByte('\n')
	}
	b.WriteString("end\n")
	line, err := p.ask(t, b.String())
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(line, "filter ")
	if !ok {
		return nil, fmt.Errorf("libseccomp: %s", line)
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%8 != 0 {
		t.Fatal(line, err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if native.BigEndian() {
		order = binary.BigEndian
	}
	var insns []Insn
	for ; len(raw) != 0; raw = raw[8:] {
		i := Insn{order.Uint16(raw), raw[2], raw[3], order.Uint32(raw[4:])}
		if i.Code == codeReturn && native.BigEndian() {
			i.K = unswapped(i.K)
		}
		insns = append(insns, i)
	}
	return insns, nil
}

// unswapped repairs what a filter returns: a return that libseccomp has put near a
// far jump is in the wrong byte order where the filter is for the other one.
func unswapped(ret uint32) uint32 {
	if name := ActionName(ret); name == "" || ret&RetData != 0 && name != "SCMP_ACT_ERRNO" && name != "SCMP_ACT_TRACE" {
		return bits.ReverseBytes32(ret)
	}
	return ret
}

// tablesDiffer are the numbers that libseccomp 2.5.4 does not have as the tables of Linux 6.12
// have them.
var tablesDiffer = map[string]string{
	"SCMP_ARCH_X32 map_shadow_stack": "of x86-64 alone when it came, of x32 too since Linux 6.8",
	"SCMP_ARCH_PARISC64 _llseek":     "the kernel has it for 32 bits alone",
}

// TestTables holds the tables against libseccomp's: no call of one name has two
// numbers, and none is missing.
func TestTables(t *testing.T) {
	p := startPeer(t)
	version, _ := p.ask(t, "version\n")
	t.Log(version)
	compared := 0
	for _, a := range Arches() {
		if token(a) == 0 {
			continue
		}
		table := p.table(t, a)
		if len(table) < 250 {
			t.Errorf("%s: libseccomp has %d calls", a, len(table))
		}
		for name, nr := range table {
			compared++
			if tablesDiffer[a.String()+" "+name] != "" {
				continue
			}
			if have, ok := a.Number(name); !ok || have != nr {
				t.Errorf("%s: %s is %d, libseccomp has %d", a, name, have, nr)
			}
		}
		for _, name := range a.Calls() {
			nr, _ := a.Number(name)
			if _, ok := table[name]; !ok && p.knows(t, name) && tablesDiffer[a.String()+" "+name] == "" {
				t.Errorf("%s: libseccomp lacks %s (%d)", a, name, nr)
			}
			if a.CallName(nr) != name && table[name] == nr {
				t.Logf("%s: %d is %s and %s", a, nr, name, a.CallName(nr))
			}
		}
	}
	t.Logf("%d numbers compared", compared)
}
