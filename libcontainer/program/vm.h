// What the interpreters of all machines share: docs/vm.md.

// DATA is where the header lies, image.go: dataBase. Then come its fields.
#define DATA 0x10000000
#define H_SOCKET 0
#define H_FIRST 8
#define H_END 16
#define H_FLAGS 24

// The report that the interpreter writes.
#define M_KIND 32
#define M_STEP 40
#define M_RESULT 48
#define M_VALUE 56
#define M_TIME 64
#define M_LEN 48

// Where commands are received.
#define INBOX 256
#define INBOX_LEN 7936
#define MSG_TRUNC 0x20

// A step's flag: do not report it.
#define QUIET 64
#define QUIET_BIT 6
