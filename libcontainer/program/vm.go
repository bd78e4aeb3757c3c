package program

import "unsafe"

// vm is the interpreter. It is never called: its bytes are copied into images.
// The contract that its siblings for other machines share is in docs/vm.md.
//
//lint:ignore U1000 vmAddr refers to it, in assembler.
func vm()

// vmAddr returns the address of vm's first instruction. It goes through
// assembler, because the value of a Go func is the address of an ABI wrapper.
func vmAddr() unsafe.Pointer

// vmEnd marks the end of the interpreter: 16 bytes that no instruction has.
var vmEnd = [16]byte{'b', 'e', 'r', 't', 'h', '-', 'v', 'm', '-', 'e', 'n', 'd', 0xf1, 0xe2, 0xd3, 0xc4}

// maxVM bounds the search for the end marker.
const maxVM = 2048

// vmCode returns the interpreter's machine code.
func vmCode() []byte {
	text := unsafe.Slice((*byte)(vmAddr()), maxVM)
	for i := range len(text) - len(vmEnd) {
		if [16]byte(text[i:i+16]) == vmEnd {
			return text[:i]
		}
	}
	panic("program: the interpreter has no end")
}
