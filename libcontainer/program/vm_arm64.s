#include "textflag.h"
#include "vm.h"

// The interpreter for arm64. docs/vm.md has the contract: layout of the header
// at DATA, of a step, of the messages. Registers:
//
//	R19  DATA, the header
//	R20  the step
//	R21  its flags
//	R22  the result
//	R23  0, or the waiting step while a fixup's step is run
//
// The kernel clobbers R0 only. R27 is the assembler's own.

#define SYS_write 64
#define SYS_exit_group 94
#define SYS_clock_gettime 113
#define SYS_recvfrom 207

TEXT ·vmAddr(SB), NOSPLIT, $0-8
	MOVD $·vm(SB), R0
	MOVD R0, ret+0(FP)
	RET

TEXT ·vm(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $DATA, R19
	MOVD ZR, R23
	MOVD H_FIRST(R19), R20

step:
	MOVD H_END(R19), R9
	CMP  R9, R20
	BHS  die

run:
	MOVWU 4(R20), R21
	MOVD  8(R20), R0
	TBZ   $0, R21, arg1
	MOVD  (R0), R0

arg1:
	MOVD 16(R20), R1
	TBZ  $1, R21, arg2
	MOVD (R1), R1

arg2:
	MOVD 24(R20), R2
	TBZ  $2, R21, arg3
	MOVD (R2), R2

arg3:
	MOVD 32(R20), R3
	TBZ  $3, R21, arg4
	MOVD (R3), R3

arg4:
	MOVD 40(R20), R4
	TBZ  $4, R21, arg5
	MOVD (R4), R4

arg5:
	MOVD 48(R20), R5
	TBZ  $5, R21, call
	MOVD (R5), R5

call:
	// An injected fault: the errno is in the upper half of the flags.
	LSR   $16, R21, R22
	NEG   R22, R22
	CBNZ  R22, done
	MOVWU (R20), R8
	MOVD  $0xF000, R9
	CMP   R9, R8
	BHS   pseudo
	SVC
	MOVD  R0, R22
	B     done

pseudo:
	SUB  R9, R8, R8
	CBZ  R8, barrier
	MOVD R0, R22
	CMP  $2, R8
	BEQ  done
	BHI  die

	// expect: ((R0 & R1) == R2) != R4, else errno R3.
	AND  R1, R0, R0
	CMP  R2, R0
	CSET EQ, R22
	EOR  R4, R22, R22
	SUB  $1, R22, R22
	AND  R3, R22, R22
	NEG  R22, R22

done:
	CBNZ R23, fixed
	MOVD H_FLAGS(R19), R9
	TBZ  $0, R9, judge
	TBNZ $QUIET_BIT, R21, judge

	// trace: what the step answered, and when. A write that fails is no
	// matter: a system call filter may refuse it.
	MOVD $SYS_clock_gettime, R8
	MOVD $1, R0
	ADD  $M_TIME, R19, R1
	SVC
	MOVD $1, R9
	MOVD R9, M_KIND(R19)
	MOVD R20, M_STEP(R19)
	MOVD R22, M_RESULT(R19)
	MOVD $SYS_write, R8
	MOVD H_SOCKET(R19), R0
	ADD  $M_KIND, R19, R1
	MOVD $M_LEN, R2
	SVC

judge:
	CMN  $4095, R22
	BHS  failed
	MOVD 56(R20), R9
	CBZ  R9, next
	MOVD R22, (R9)

next:
	ADD $80, R20, R20
	B   step

failed:
	NEG R22, R9
	ADD $64, R20, R10
	ADD $80, R20, R11

harmless:
	MOVHU (R10), R12
	CBZ   R12, trap
	CMP   R12, R9
	BEQ   skip
	ADD   $4, R10, R10
	CMP   R11, R10
	BLO   harmless

trap:
	MOVD $2, R9
	MOVD R9, M_KIND(R19)
	MOVD ZR, M_VALUE(R19)
	B    report

skip:
	MOVHU 2(R10), R12
	MOVD  $80, R9
	MADD  R9, R20, R12, R20
	B     next

	// A barrier has no meaning inside a fixup: the child waits there anyway.
barrier:
	CBNZ R23, die
	MOVD $3, R9
	MOVD R9, M_KIND(R19)
	MOVD R0, M_VALUE(R19)
	MOVD R1, R22

report:
	MOVD R20, M_STEP(R19)
	MOVD R22, M_RESULT(R19)
	MOVD $SYS_write, R8
	MOVD H_SOCKET(R19), R0
	ADD  $M_KIND, R19, R1
	MOVD $M_LEN, R2
	SVC
	CMP  $M_LEN, R0
	BNE  die

	// Wait for word from Berth. Anything that is not exactly a command ends
	// the child, as does a closed socket: nothing is left behind when Berth is
	// killed. On the start FIFO recvfrom says ENOTSOCK: reports there are final.
	// MSG_TRUNC makes the kernel tell the length of a message that it cut.
	MOVD $SYS_recvfrom, R8
	MOVD H_SOCKET(R19), R0
	ADD  $INBOX, R19, R1
	MOVD $INBOX_LEN, R2
	MOVD $MSG_TRUNC, R3
	MOVD ZR, R4
	MOVD ZR, R5
	SVC
	CMP  $24, R0
	BLT  die
	MOVD $INBOX_LEN, R9
	CMP  R9, R0
	BGT  die
	MOVD INBOX(R19), R9
	MOVD INBOX+8(R19), R10
	CMP  $2, R9
	BEQ  fixup
	BHI  die
	CMP  $1, R9
	BNE  die
	CMP  $24, R0
	BNE  die

	// Resume at R10, which must be a step: below the end (see step) and a
	// multiple of a step's size above the first.
	MOVD H_FIRST(R19), R9
	SUBS R9, R10, R11
	BLO  die
	MOVD $80, R12
	UDIV R12, R11, R9
	MSUB R12, R11, R9, R11
	CBNZ R11, die
	MOVD 56(R20), R9
	CBZ  R9, resume
	MOVD INBOX+16(R19), R11
	MOVD R11, (R9)

resume:
	MOVD R10, R20
	B    step

fixup:
	CMP  $104, R0
	BLT  die
	MOVD R20, R23
	ADD  $(INBOX+24), R19, R20
	B    run

fixed:
	CMN  $4095, R22
	BHS  tell
	MOVD 56(R20), R9
	CBZ  R9, tell
	MOVD R22, (R9)

tell:
	MOVD $4, R9
	MOVD R9, M_KIND(R19)
	MOVD ZR, M_VALUE(R19)
	MOVD R23, R20
	MOVD ZR, R23
	B    report

die:
	MOVD $SYS_exit_group, R8
	MOVD $125, R0
	SVC
	BRK

	// The end marker, see vmEnd.
	WORD $0x74726562
	WORD $0x6d762d68
	WORD $0x646e652d
	WORD $0xc4d3e2f1
	RET
