/* Makes filters with libseccomp, in the way and order that runc does, of profiles
 * given line by line, and tells libseccomp's tables. Built by the tests. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static scmp_filter_ctx ctx;
static int failed;

static void fail(const char *what, int rc)
{
	if (!failed)
		printf("error %s %d\n", what, -rc);
	failed = 1;
}

/* The first architecture stands for the native one. */
static void architectures(char *list)
{
	int native = 0, first = 1;

	for (char *w = strtok(list, " \n"); w; w = strtok(NULL, " \n"), first = 0) {
		uint32_t token = strtoul(w, NULL, 0);
		int rc;

		if (token == seccomp_arch_native()) {
			native = 1;
			continue;
		}
		if (first && (rc = seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE)) < 0)
			fail("arch_remove", rc);
		rc = seccomp_arch_add(ctx, token);
		if (rc < 0 && rc != -EEXIST)
			fail("arch_add", rc);
	}
	if (native && seccomp_arch_exist(ctx, SCMP_ARCH_NATIVE) < 0)
		seccomp_arch_add(ctx, SCMP_ARCH_NATIVE);
}

static void rule(char *line)
{
	char name[64];
	uint32_t action;
	int n, at, rc, nr;
	struct scmp_arg_cmp args[6];

	if (sscanf(line, "%i %63s %d%n", (int *)&action, name, &n, &at) != 3 || n > 6) {
		fail("syntax", 0);
		return;
	}
	for (int i = 0; i < n; i++) {
		int index, op, used;
		unsigned long long a, b;

		if (sscanf(line + at, "%d %d %llx %llx%n", &index, &op, &a, &b, &used) != 4) {
			fail("syntax", 0);
			return;
		}
		at += used;
		args[i] = (struct scmp_arg_cmp){index, op, a, b};
	}
	nr = seccomp_syscall_resolve_name(name);
	if (nr == __NR_SCMP_ERROR)
		return;
	rc = seccomp_rule_add_array(ctx, action, nr, n, args);
	if (rc < 0)
		fail("rule_add", rc);
}

static void export(void)
{
	static unsigned char buf[1 << 20];
	int p[2], rc;
	ssize_t n, len = 0;

	if (failed)
		return;
	if (pipe(p) < 0)
		exit(1);
	/* 32 KiB at most: a pipe holds it. */
	rc = seccomp_export_bpf(ctx, p[1]);
	close(p[1]);
	while ((n = read(p[0], buf + len, sizeof(buf) - len)) > 0)
		len += n;
	close(p[0]);
	if (rc < 0) {
		fail("export", rc);
		return;
	}
	printf("filter ");
	for (ssize_t i = 0; i < len; i++)
		printf("%02x", buf[i]);
	printf("\n");
}

/* For some profiles libseccomp takes for ever: SIGPROF ends this process then. */
static void patience(int seconds)
{
	struct itimerval v = {.it_value.tv_sec = seconds};

	setitimer(ITIMER_PROF, &v, NULL);
}

static void names(uint32_t token, int from, int to)
{
	printf("names");
	for (int nr = from; nr <= to; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(token, nr);
		if (name)
			printf(" %s=%d", name, nr);
		free(name);
	}
	printf("\n");
}

int main(void)
{
	static char line[1 << 16];
	uint32_t action, token;
	int from, to;

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "begin %i", (int *)&action) == 1) {
			failed = 0;
			patience(2);
			ctx = seccomp_init(action);
			if (!ctx)
				exit(1);
		} else if (!strncmp(line, "arch ", 5)) {
			architectures(line + 5);
		} else if (sscanf(line, "optimize %d", &from) == 1) {
			seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, from);
		} else if (!strncmp(line, "rule ", 5)) {
			rule(line + 5);
		} else if (!strcmp(line, "end\n")) {
			export();
			seccomp_release(ctx);
			patience(0);
			fflush(stdout);
		} else if (sscanf(line, "names %i %d %d", (int *)&token, &from, &to) == 3) {
			names(token, from, to);
			fflush(stdout);
		} else if (!strcmp(line, "version\n")) {
			const struct scmp_version *v = seccomp_version();
			printf("version %u.%u.%u\n", v->major, v->minor, v->micro);
			fflush(stdout);
		} else {
			exit(1);
		}
	}
	return 0;
}
