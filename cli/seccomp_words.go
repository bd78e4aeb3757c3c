package cli

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/seccomp"
)

// verdictText is what becomes of a call, for people.
func verdictText(ret uint32) string {
	data := int(ret & seccomp.RetData)
	switch ret & seccomp.RetAction {
	case seccomp.RetAllow:
		return "is let through"
	case seccomp.RetLog:
		return "is logged and let through"
	case seccomp.RetErrno:
		if data == 0 {
			return "does nothing and returns 0"
		}
		return "fails with " + errnoText(data)
	case seccomp.RetTrap:
		return "is not done, the thread gets SIGSYS"
	case seccomp.RetTrace:
		return "is a tracer's to decide, fails with ENOSYS without one"
	case seccomp.RetUserNotif:
		return "is the listener's to decide"
	case seccomp.RetKillProcess:
		return "kills the process"
	}
	return "kills the thread"
}

func errnoText(n int) string {
	if name := unix.ErrnoName(unix.Errno(n)); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(n)
}

var operatorText = map[specs.LinuxSeccompOperator]string{
	specs.OpNotEqual: " != ", specs.OpLessThan: " < ", specs.OpLessEqual: " <= ", specs.OpEqualTo: " == ", specs.OpGreaterEqual: " >= ", specs.OpGreaterThan: " > ",
}

// conditionText says for which arguments a rule holds.
func conditionText(args []specs.LinuxSeccompArg) string {
	var all []string
	for _, a := range args {
		left, right := "arg "+strconv.FormatUint(uint64(a.Index), 10), numberText(a.Value)
		if a.Op == specs.OpMaskedEqual {
			all = append(all, left+" & "+hexText(a.Value)+" == "+numberText(a.ValueTwo))
			continue
		}
		all = append(all, left+operatorText[a.Op]+right)
	}
	return strings.Join(all, " and ")
}

// numberText is a number as people would write it: flags and addresses by their bits.
func numberText(n uint64) string {
	if n < 4096 {
		return strconv.FormatUint(n, 10)
	}
	return hexText(n)
}

func hexText(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }

// sinceText is the version of Linux that a call came with.
func sinceText(name string) string {
	major, minor := seccomp.Since(name)
	if major == 0 {
		return ""
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor)
}

// rulePath is the property of config.json that decides.
func rulePath(v seccomp.Verdict) string {
	switch v.Reason {
	case seccomp.ByRule:
		return entryPath(v.Rule)
	case seccomp.ByArch:
		return "linux.seccomp.architectures"
	case seccomp.ByAge:
		return "linux.seccomp.syscalls"
	}
	return "linux.seccomp.defaultAction"
}

func entryPath(rule int) string { return "linux.seccomp.syscalls[" + strconv.Itoa(rule) + "]" }

// profileError is an error of the compiler as one of config.json.
func profileError(err error) error {
	e, ok := err.(*seccomp.Error)
	if !ok {
		return err
	}
	path := "linux.seccomp"
	if e.Path != "" {
		path += "." + e.Path
	}
	return fault.At(path, e.Message)
}

// indented is a document for programs and for people who look at it.
func indented(doc any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		return nil, fault.Wrap("cannot print JSON", err)
	}
	return b.Bytes(), nil
}

// same is how many at the beginning of a list belong together with the first.
func same[T any](list []T, together func(a, b *T) bool) int {
	n := 1
	for n < len(list) && together(&list[n], &list[0]) {
		n++
	}
	return n
}
