#include "textflag.h"
#include "vm.h"

// The interpreter for amd64. docs/vm.md has the contract: layout of the header
// at DATA, of a step, of the messages. Registers:
//
//	R15  DATA, the header
//	BX   the step
//	R14  its flags
//	R13  the result
//	R12  0, or the waiting step while a fixup's step is run
//
// The kernel clobbers AX, CX and R11 only.

#define SYS_write 1
#define SYS_recvfrom 45
#define SYS_clock_gettime 228
#define SYS_exit_group 231

TEXT ·vmAddr(SB), NOSPLIT, $0-8
	LEAQ ·vm(SB), AX
	MOVQ AX, ret+0(FP)
	RET

TEXT ·vm(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ $DATA, R15
	XORL R12, R12
	MOVQ H_FIRST(R15), BX

step:
	CMPQ BX, H_END(R15)
	JCC  die

run:
	MOVL  4(BX), R14
	MOVQ  8(BX), DI
	TESTL $1, R14
	JZ    arg1
	MOVQ  (DI), DI

arg1:
	MOVQ  16(BX), SI
	TESTL $2, R14
	JZ    arg2
	MOVQ  (SI), SI

arg2:
	MOVQ  24(BX), DX
	TESTL $4, R14
	JZ    arg3
	MOVQ  (DX), DX

arg3:
	MOVQ  32(BX), R10
	TESTL $8, R14
	JZ    arg4
	MOVQ  (R10), R10

arg4:
	MOVQ  40(BX), R8
	TESTL $16, R14
	JZ    arg5
	MOVQ  (R8), R8

arg5:
	MOVQ  48(BX), R9
	TESTL $32, R14
	JZ    call
	MOVQ  (R9), R9

call:
	// An injected fault: the errno is in the upper half of the flags.
	MOVL  R14, R13
	SHRL  $16, R13
	NEGQ  R13
	TESTQ R13, R13
	JNZ   done
	MOVL  (BX), AX
	CMPL  AX, $0xF000
	JCC   pseudo
	SYSCALL
	MOVQ  AX, R13
	JMP   done

pseudo:
	JEQ  barrier
	MOVQ DI, R13
	CMPL AX, $0xF002
	JEQ  done
	CMPL AX, $0xF001
	JNE  die

	// expect: ((DI & SI) == DX) != R8, else errno R10.
	ANDQ  SI, DI
	XORL  R13, R13
	CMPQ  DI, DX
	SETEQ R13
	XORQ  R8, R13
	DECQ  R13
	ANDQ  R10, R13
	NEGQ  R13

done:
	TESTQ R12, R12
	JNZ   fixed
	TESTQ $1, H_FLAGS(R15)
	JZ    judge
	TESTL $QUIET, R14
	JNZ   judge

	// trace: what the step answered, and when. A write that fails is no
	// matter: a system call filter may refuse it.
	MOVL $SYS_clock_gettime, AX
	MOVL $1, DI
	LEAQ M_TIME(R15), SI
	SYSCALL
	MOVQ $1, M_KIND(R15)
	MOVQ BX, M_STEP(R15)
	MOVQ R13, M_RESULT(R15)
	MOVL $SYS_write, AX
	MOVQ H_SOCKET(R15), DI
	LEAQ M_KIND(R15), SI
	MOVL $M_LEN, DX
	SYSCALL

judge:
	CMPQ  R13, $-4095
	JCC   failed
	MOVQ  56(BX), CX
	TESTQ CX, CX
	JZ    next
	MOVQ  R13, (CX)

next:
	ADDQ $80, BX
	JMP  step

failed:
	MOVL    R13, AX
	NEGL    AX
	LEAQ    64(BX), DX
	LEAQ    80(BX), SI

harmless:
	MOVWLZX (DX), CX
	TESTL   CX, CX
	JZ      trap
	CMPL    CX, AX
	JEQ     skip
	ADDQ    $4, DX
	CMPQ    DX, SI
	JCS     harmless

trap:
	MOVQ $2, M_KIND(R15)
	MOVQ $0, M_VALUE(R15)
	JMP  report

skip:
	MOVWLZX 2(DX), CX
	IMUL3Q  $80, CX, CX
	ADDQ    CX, BX
	JMP     next

	// A barrier has no meaning inside a fixup: the child waits there anyway.
barrier:
	TESTQ R12, R12
	JNZ   die
	MOVQ  $3, M_KIND(R15)
	MOVQ  DI, M_VALUE(R15)
	MOVQ  SI, R13

report:
	MOVQ BX, M_STEP(R15)
	MOVQ R13, M_RESULT(R15)
	MOVL $SYS_write, AX
	MOVQ H_SOCKET(R15), DI
	LEAQ M_KIND(R15), SI
	MOVL $M_LEN, DX
	SYSCALL
	CMPQ AX, $M_LEN
	JNE  die

	// Wait for word from Berth. Anything that is not exactly a command ends
	// the child, as does a closed socket: nothing is left behind when Berth is
	// killed. On the start FIFO recvfrom says ENOTSOCK: reports there are final.
	// MSG_TRUNC makes the kernel tell the length of a message that it cut.
	MOVL $SYS_recvfrom, AX
	MOVQ H_SOCKET(R15), DI
	LEAQ INBOX(R15), SI
	MOVL $INBOX_LEN, DX
	MOVL $MSG_TRUNC, R10
	XORL R8, R8
	XORL R9, R9
	SYSCALL
	CMPQ AX, $24
	JLT  die
	CMPQ AX, $INBOX_LEN
	JGT  die
	MOVQ INBOX(R15), CX
	MOVQ INBOX+8(R15), DX
	CMPQ CX, $2
	JEQ  fixup
	JHI  die
	CMPQ CX, $1
	JNE  die
	CMPQ AX, $24
	JNE  die

	// Resume at DX, which must be a step: below the end (see step) and a
	// multiple of a step's size above the first.
	MOVQ  DX, SI
	MOVQ  DX, AX
	SUBQ  H_FIRST(R15), AX
	JCS   die
	XORL  DX, DX
	MOVL  $80, CX
	DIVQ  CX
	TESTQ DX, DX
	JNZ   die
	MOVQ  56(BX), CX
	TESTQ CX, CX
	JZ    resume
	MOVQ  INBOX+16(R15), AX
	MOVQ  AX, (CX)

resume:
	MOVQ SI, BX
	JMP  step

fixup:
	CMPQ AX, $104
	JLT  die
	MOVQ BX, R12
	LEAQ INBOX+24(R15), BX
	JMP  run

fixed:
	CMPQ  R13, $-4095
	JCC   tell
	MOVQ  56(BX), CX
	TESTQ CX, CX
	JZ    tell
	MOVQ  R13, (CX)

tell:
	MOVQ $4, M_KIND(R15)
	MOVQ $0, M_VALUE(R15)
	MOVQ R12, BX
	XORL R12, R12
	JMP  report

die:
	MOVL $SYS_exit_group, AX
	MOVL $125, DI
	SYSCALL
	INT  $3

	// The end marker, see vmEnd.
	LONG $0x74726562
	LONG $0x6d762d68
	LONG $0x646e652d
	LONG $0xc4d3e2f1
	RET
