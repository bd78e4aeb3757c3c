// Command gen writes the tables of system calls of package seccomp. It reads
// what the kernel's own build reads, and two lists that know what is newer:
//
//	apt-get download linux-source-6.12 manpages-dev
//	dpkg-deb -x linux-source-6.12_*.deb d && tar -xJf d/usr/src/linux-source-6.12.tar.xz
//	dpkg-deb -x manpages-dev_*.deb d
//	go run ./libcontainer/seccomp/internal/gen -linux linux-source-6.12 \
//	    -man d/usr/share/man/man2/syscalls.2.gz -o libcontainer/seccomp/tables_gen.go
//
// The tables of the Linux source (syscall.tbl) have every architecture and ABI.
// Calls that are newer come from golang.org/x/sys/unix, where all architectures
// give them one number, as Linux has done since 5.1. Every number that x/sys
// knows is held against the tables as well. The version that a call came with is
// what syscalls(2) says, and for the calls after it the list in versions.go.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// table is where the numbers of one ABI come from: a file of the Linux source,
// those of its lines that are meant, and x/sys's name of the architecture.
type table struct {
	name, file string
	abis       []string
	sys        string
	base       int
}

const generic = "scripts/syscall.tbl"

var tables = []table{
	{name: "X86", file: "arch/x86/entry/syscalls/syscall_32.tbl", abis: []string{"i386"}, sys: "386"},
	{name: "AMD64", file: "arch/x86/entry/syscalls/syscall_64.tbl", abis: []string{"common", "64"}, sys: "amd64"},
	{name: "X32", file: "arch/x86/entry/syscalls/syscall_64.tbl", abis: []string{"common", "x32"}},
	{name: "ARM", file: "arch/arm/tools/syscall.tbl", abis: []string{"common", "eabi"}, sys: "arm"},
	{name: "ARM64", file: generic, abis: []string{"common", "64", "renameat", "rlimit", "memfd_secret"}, sys: "arm64"},
	{name: "RISCV64", file: generic, abis: []string{"common", "64", "riscv", "rlimit", "memfd_secret"}, sys: "riscv64"},
	{name: "Loong64", file: generic, abis: []string{"common", "64"}, sys: "loong64"},
	{name: "MIPS", file: "arch/mips/kernel/syscalls/syscall_o32.tbl", abis: []string{"o32"}, sys: "mips", base: 4000},
	{name: "MIPS64", file: "arch/mips/kernel/syscalls/syscall_n64.tbl", abis: []string{"common", "n64"}, sys: "mips64", base: 5000},
	{name: "MIPSN32", file: "arch/mips/kernel/syscalls/syscall_n32.tbl", abis: []string{"n32"}, base: 6000},
	{name: "PPC", file: "arch/powerpc/kernel/syscalls/syscall.tbl", abis: []string{"common", "nospu", "32"}, sys: "ppc"},
	{name: "PPC64", file: "arch/powerpc/kernel/syscalls/syscall.tbl", abis: []string{"common", "nospu", "64"}, sys: "ppc64"},
	{name: "S390", file: "arch/s390/kernel/syscalls/syscall.tbl", abis: []string{"common", "32"}},
	{name: "S390X", file: "arch/s390/kernel/syscalls/syscall.tbl", abis: []string{"common", "64"}, sys: "s390x"},
	{name: "PARISC", file: "arch/parisc/kernel/syscalls/syscall.tbl", abis: []string{"common", "32"}},
	{name: "PARISC64", file: "arch/parisc/kernel/syscalls/syscall.tbl", abis: []string{"common", "64"}},
	{name: "M68K", file: "arch/m68k/kernel/syscalls/syscall.tbl", abis: []string{"common"}},
	{name: "SH", file: "arch/sh/kernel/syscalls/syscall.tbl", abis: []string{"common"}},
}

// private are the calls of ARM that stand at 0xf0000 and above
// (arch/arm/include/uapi/asm/unistd.h, __ARM_NR_BASE).
var private = map[string]int{"breakpoint": 1, "cacheflush": 2, "usr26": 3, "usr32": 4, "set_tls": 5, "get_tls": 6}

func main() {
	log.SetFlags(0)
	linux := flag.String("linux", "", "the Linux source")
	man := flag.String("man", "", "syscalls.2.gz of the manual pages")
	out := flag.String("o", "tables_gen.go", "the file to write")
	flag.Parse()
	numbers := map[string]map[string]int{}
	for _, t := range tables {
		numbers[t.name] = t.read(filepath.Join(*linux, t.file))
	}
	for name, n := range private {
		numbers["ARM"][name] = 0xf000 | n
	}
	addNewer(numbers)
	src, err := format.Source(render(numbers, readVersions(*man)))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, src, 0o644); err != nil {
		log.Fatal(err)
	}
}

// read reads a syscall.tbl: number, ABI, name, entry points.
func (t table) read(file string) map[string]int {
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	m := map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || !slices.Contains(t.abis, f[1]) || strings.HasPrefix(f[2], "reserved") || strings.HasPrefix(f[2], "unused") {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err != nil || n >= 0xf000 {
			log.Fatalf("%s: %s", file, line)
		}
		m[f[2]] = n
	}
	return m
}

var sysConst = regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+= (\d+)$`)

// sysNumbers are x/sys's numbers of an architecture.
func sysNumbers(arch string) map[string]int {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+arch+".go"))
	if err != nil {
		log.Fatal(err)
	}
	m := map[string]int{}
	for _, g := range sysConst.FindAllStringSubmatch(string(text), -1) {
		m[strings.ToLower(g[1])], _ = strconv.Atoi(g[2])
	}
	return m
}

// placeholder are constants of the headers that are no calls.
var placeholder = regexp.MustCompile("^(unused|reserved)[0-9]*$|^syscall_mask$|^arch_specific_syscall$")

// addNewer adds to all tables the calls that are newer than the Linux source, adds
// what x/sys alone has of one architecture, and sees that it has no number otherwise.
func addNewer(numbers map[string]map[string]int) {
	last := 0
	for _, n := range numbers["ARM64"] {
		last = max(last, n)
	}
	for name, n := range sysNumbers("arm64") {
		if n <= last {
			continue
		}
		for _, t := range tables {
			numbers[t.name][name] = n
		}
	}
	for _, t := range tables {
		if t.sys == "" {
			continue
		}
		for name, n := range sysNumbers(t.sys) {
			have, ok := numbers[t.name][name]
			switch {
			case placeholder.MatchString(name) || have >= 0xf000:
			case !ok:
				log.Printf("%s: %s is only in x/sys", t.name, name)
				numbers[t.name][name] = n - t.base
			case have+t.base != n:
				log.Fatalf("%s: x/sys has %s as %d, the tables as %d", t.name, name, n, have+t.base)
			}
		}
	}
}

var manLine = regexp.MustCompile(`^\\fB(\w+)\\fP\(2\)\t(\d+)\.(\d+)`)

// readVersions reads the table of syscalls(2). Of a version 2.6.x only 2.6 is kept,
// as no kernel that Berth runs on is that old.
func readVersions(man string) map[string][2]int {
	text, err := exec.Command("zcat", man).Output()
	if err != nil {
		log.Fatal(err)
	}
	m := map[string][2]int{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if g := manLine.FindStringSubmatch(s.Text()); g != nil {
			major, _ := strconv.Atoi(g[2])
			minor, _ := strconv.Atoi(g[3])
			m[g[1]] = [2]int{major, minor}
		}
	}
	for name, v := range later {
		if old, ok := m[name]; ok && old != v {
			log.Printf("%s: syscalls(2) has %v, versions.go %v", name, old, v)
		}
		m[name] = v
	}
	return m
}

func render(numbers map[string]map[string]int, versions map[string][2]int) []byte {
	set := map[string]bool{}
	for _, m := range numbers {
		for name := range m {
			set[name] = true
		}
	}
	var names []string
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by internal/gen. DO NOT EDIT.\n\npackage seccomp\n\n// callCount is the number of names of system calls of all architectures.\nconst callCount = %d\n\n", len(names))
	renderNames(&b, names)
	fmt.Fprintf(&b, "// callSince has the Linux version that each call came with, major and minor in a\n// byte each; 0 where the sources do not say.\n")
	fmt.Fprintf(&b, "var callSince = [callCount]uint16{\n")
	values(&b, names, "}\n", func(name string) int { return versions[name][0]<<8 | versions[name][1] })
	fmt.Fprintf(&b, "// callNumbers has for each table the number of each call plus one, without the\n// base of the ABI; 0 where the architecture lacks it. ARM's private calls are at 0xf000.\n")
	fmt.Fprintf(&b, "var callNumbers = [...][callCount]uint16{\n")
	for _, t := range tables {
		fmt.Fprintf(&b, "table_%s: {\n", t.name)
		values(&b, names, "},", func(name string) int {
			if n, ok := numbers[t.name][name]; ok {
				return n + 1
			}
			return 0
		})
	}
	fmt.Fprintf(&b, "}\n\nconst (\n")
	for i, t := range tables {
		if i == 0 {
			fmt.Fprintf(&b, "table_%s = iota\n", t.name)
			continue
		}
		fmt.Fprintf(&b, "table_%s\n", t.name)
	}
	fmt.Fprintf(&b, ")\n")
	return bytes.ReplaceAll(b.Bytes(), []byte("table_"), []byte("table"))
}

// renderNames writes the names, sorted, as one string, and where each begins.
func renderNames(b *bytes.Buffer, names []string) {
	fmt.Fprintf(b, "// callNames are the names, sorted, one after the other; callStart is where each begins.\nconst callNames = \"\" +\n")
	for i := 0; i < len(names); i += 8 {
		fmt.Fprintf(b, "\t%q", strings.Join(names[i:min(i+8, len(names))], ""))
		if i+8 < len(names) {
			fmt.Fprint(b, " +")
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "\nvar callStart = [callCount + 1]uint16{\n0,")
	at := 0
	for i, name := range names {
		at += len(name)
		fmt.Fprintf(b, "%d,", at)
		if i%16 == 15 {
			fmt.Fprintln(b)
		}
	}
	fmt.Fprintf(b, "\n}\n\n")
}

func values(b *bytes.Buffer, names []string, end string, value func(string) int) {
	for i, name := range names {
		fmt.Fprintf(b, "%d,", value(name))
		if i%30 == 29 {
			fmt.Fprintln(b)
		}
	}
	fmt.Fprintf(b, "\n%s\n", end)
}
