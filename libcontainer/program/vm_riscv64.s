#include "textflag.h"
#include "vm.h"

// The interpreter for riscv64. docs/vm.md has the contract: layout of the header
// at DATA, of a step, of the messages. Registers:
//
//	S1  DATA, the header
//	S2  the step
//	S3  its flags
//	S4  the result
//	S5  0, or the waiting step while a fixup's step is run
//
// The kernel clobbers A0 only. T6 is the assembler's own.

#define SYS_write 64
#define SYS_exit_group 94
#define SYS_clock_gettime 113
#define SYS_recvfrom 207

TEXT ·vmAddr(SB), NOSPLIT, $0-8
	MOV $·vm(SB), A0
	MOV A0, ret+0(FP)
	RET

TEXT ·vm(SB), NOSPLIT|NOFRAME, $0-0
	MOV $DATA, S1
	MOV ZERO, S5
	MOV H_FIRST(S1), S2

step:
	MOV  H_END(S1), T0
	BGEU S2, T0, die

run:
	MOVWU 4(S2), S3
	MOV   8(S2), A0
	AND   $1, S3, T0
	BEQZ  T0, arg1
	MOV   (A0), A0

arg1:
	MOV  16(S2), A1
	AND  $2, S3, T0
	BEQZ T0, arg2
	MOV  (A1), A1

arg2:
	MOV  24(S2), A2
	AND  $4, S3, T0
	BEQZ T0, arg3
	MOV  (A2), A2

arg3:
	MOV  32(S2), A3
	AND  $8, S3, T0
	BEQZ T0, arg4
	MOV  (A3), A3

arg4:
	MOV  40(S2), A4
	AND  $16, S3, T0
	BEQZ T0, arg5
	MOV  (A4), A4

arg5:
	MOV  48(S2), A5
	AND  $32, S3, T0
	BEQZ T0, call
	MOV  (A5), A5

call:
	// An injected fault: the errno is in the upper half of the flags.
	SRL   $16, S3, S4
	NEG   S4, S4
	BNEZ  S4, done
	MOVWU (S2), A7
	MOV   $0xF000, T0
	BGEU  A7, T0, pseudo
	ECALL
	MOV   A0, S4
	JMP   done

pseudo:
	BEQ  A7, T0, barrier
	SUB  T0, A7, T1
	MOV  $2, T0
	MOV  A0, S4
	BEQ  T1, T0, done
	BGTU T1, T0, die

	// expect: ((A0 & A1) == A2) != A4, else errno A3.
	AND  A1, A0, A0
	XOR  A2, A0, A0
	SEQZ A0, S4
	XOR  A4, S4, S4
	ADD  $-1, S4, S4
	AND  A3, S4, S4
	NEG  S4, S4

done:
	BNEZ S5, fixed
	MOV  H_FLAGS(S1), T0
	AND  $1, T0, T0
	BEQZ T0, judge
	AND  $QUIET, S3, T0
	BNEZ T0, judge

	// trace: what the step answered, and when. A write that fails is no
	// matter: a system call filter may refuse it.
	MOV $SYS_clock_gettime, A7
	MOV $1, A0
	ADD $M_TIME, S1, A1
	ECALL
	MOV $1, T0
	MOV T0, M_KIND(S1)
	MOV S2, M_STEP(S1)
	MOV S4, M_RESULT(S1)
	MOV $SYS_write, A7
	MOV H_SOCKET(S1), A0
	ADD $M_KIND, S1, A1
	MOV $M_LEN, A2
	ECALL

judge:
	MOV  $-4095, T0
	BGEU S4, T0, failed
	MOV  56(S2), T0
	BEQZ T0, next
	MOV  S4, (T0)

next:
	ADD $80, S2, S2
	JMP step

failed:
	NEG S4, T0
	ADD $64, S2, T1
	ADD $80, S2, T2

harmless:
	MOVHU (T1), T3
	BEQZ  T3, trap
	BEQ   T3, T0, skip
	ADD   $4, T1, T1
	BLTU  T1, T2, harmless

trap:
	MOV $2, T0
	MOV T0, M_KIND(S1)
	MOV ZERO, M_VALUE(S1)
	JMP report

skip:
	MOVHU 2(T1), T3
	MOV   $80, T0
	MUL   T0, T3, T3
	ADD   T3, S2, S2
	JMP   next

	// A barrier has no meaning inside a fixup: the child waits there anyway.
barrier:
	BNEZ S5, die
	MOV  $3, T0
	MOV  T0, M_KIND(S1)
	MOV  A0, M_VALUE(S1)
	MOV  A1, S4

report:
	MOV S2, M_STEP(S1)
	MOV S4, M_RESULT(S1)
	MOV $SYS_write, A7
	MOV H_SOCKET(S1), A0
	ADD $M_KIND, S1, A1
	MOV $M_LEN, A2
	ECALL
	MOV $M_LEN, T0
	BNE A0, T0, die

	// Wait for word from Berth. Anything that is not exactly a command ends
	// the child, as does a closed socket: nothing is left behind when Berth is
	// killed. On the start FIFO recvfrom says ENOTSOCK: reports there are final.
	// MSG_TRUNC makes the kernel tell the length of a message that it cut.
	MOV $SYS_recvfrom, A7
	MOV H_SOCKET(S1), A0
	ADD $INBOX, S1, A1
	MOV $INBOX_LEN, A2
	MOV $MSG_TRUNC, A3
	MOV ZERO, A4
	MOV ZERO, A5
	ECALL
	MOV $24, T1
	BLT A0, T1, die
	MOV $INBOX_LEN, T0
	BGT A0, T0, die
	MOV INBOX(S1), T0
	MOV INBOX+8(S1), T2
	MOV $2, T3
	BEQ T0, T3, fixup
	MOV $1, T3
	BNE T0, T3, die
	BNE A0, T1, die

	// Resume at T2, which must be a step: below the end (see step) and a
	// multiple of a step's size above the first.
	MOV  H_FIRST(S1), T0
	BLTU T2, T0, die
	SUB  T0, T2, T1
	MOV  $80, T0
	REMU T0, T1, T1
	BNEZ T1, die
	MOV  56(S2), T0
	BEQZ T0, resume
	MOV  INBOX+16(S1), T1
	MOV  T1, (T0)

resume:
	MOV T2, S2
	JMP step

fixup:
	MOV $104, T0
	BLT A0, T0, die
	MOV S2, S5
	ADD $(INBOX+24), S1, S2
	JMP run

fixed:
	MOV  $-4095, T0
	BGEU S4, T0, tell
	MOV  56(S2), T0
	BEQZ T0, tell
	MOV  S4, (T0)

tell:
	MOV $4, T0
	MOV T0, M_KIND(S1)
	MOV ZERO, M_VALUE(S1)
	MOV S5, S2
	MOV ZERO, S5
	JMP report

die:
	MOV $SYS_exit_group, A7
	MOV $125, A0
	ECALL
	EBREAK

	// The end marker, see vmEnd.
	WORD $0x74726562
	WORD $0x6d762d68
	WORD $0x646e652d
	WORD $0xc4d3e2f1
	RET
