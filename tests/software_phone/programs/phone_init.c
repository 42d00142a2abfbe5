/* The first process of the software phone.
 *
 *     init UID ADBD PORT LISTENER...
 *
 * It raises the loopback of its own network, starts ADBD as user UID on PORT, carries connections from LISTENER (number
 * of an inherited listening socket, which belongs to the host's network) to that port, and reaps orphans. adbd listens
 * on every address of its network; since that network holds a loopback alone, only the listeners lead to it.
 *
 * Standard input takes letters; each is answered with the same letter when it is done:
 *     s start adbd    k kill adbd    z freeze adbd    c let it go on    r kill everything, as a reboot does
 * At the end of standard input it exits, and the kernel kills whatever is left in its process namespace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_LISTENERS = 16, CHUNK = 1 << 17 };

static int listeners[MAX_LISTENERS], listener_count, port;
static const char *adbd_path;
static uid_t user;
static pid_t adbd;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void raise_loopback(void) {
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strcpy(request.ifr_name, "lo");
    if (handle < 0 || ioctl(handle, SIOCSIFFLAGS, &request) < 0) die("loopback");
    close(handle);
}

/* One direction of a connection; when it ends, both ends of both sockets do. */
static void carry(int from, int to) {
    static char buffer[CHUNK];
    ssize_t got;
    while ((got = read(from, buffer, sizeof buffer)) > 0) {
        for (ssize_t done = 0, put; done < got; done += put)
            if ((put = write(to, buffer + done, (size_t)(got - done))) <= 0) goto end;
    }
end:
    shutdown(from, SHUT_RDWR);
    shutdown(to, SHUT_RDWR);
    _exit(0);
}

static void connect_to_adbd(int client) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int one = 1, server = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(server, (struct sockaddr *)&address, sizeof address) < 0) _exit(0);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fork() == 0) carry(client, server);
    carry(server, client);
}

static void default_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void relay(int listener) {
    if (fork() != 0) return;
    default_signals();
    close(0);
    close(1);
    signal(SIGCHLD, SIG_IGN);
    prctl(PR_SET_NAME, "relay");
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) continue;
        if (fork() == 0) {
            close(listener);
            connect_to_adbd(client);
        }
        close(client);
    }
}

/* A rooted phone's root may do in the phone what a phone's root does, and nothing to this machine's kernel. */
static void drop_powers(void) {
    static const int kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,   CAP_FSETID,
                               CAP_KILL,  CAP_SETGID,       CAP_SETUID, CAP_SYS_NICE};
    for (int power = 0; power <= CAP_LAST_CAP; power++) {
        int is_kept = 0;
        for (size_t place = 0; place < sizeof kept / sizeof *kept; place++) is_kept |= kept[place] == power;
        if (!is_kept) prctl(PR_CAPBSET_DROP, power, 0, 0, 0);
    }
}

/* adbd listens on vsock as well, which knows no network namespaces: virtual machines on this one would reach it. */
static void forbid_vsock(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_VSOCK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) die("seccomp");
}

static void start_adbd(void) {
    if (adbd > 0) return;
    adbd = fork();
    if (adbd != 0) return;
    char text[16];
    default_signals();
    signal(SIGPIPE, SIG_DFL);
    for (int place = 0; place < listener_count; place++) close(listeners[place]);
    if (freopen("/dev/null", "r", stdin) == NULL || dup2(2, 1) < 0) _exit(126);
    snprintf(text, sizeof text, "%d", port);
    setenv("ADBD_PORT", text, 1);
    forbid_vsock();
    drop_powers();
    gid_t groups[] = {user, 1004, 1007, 1011, 1015, 3003};
    if (setgroups(user ? 6 : 1, groups) < 0 || setgid(user) < 0 || setuid(user) < 0) _exit(126);
    setsid();
    execl(adbd_path, "adbd", (char *)NULL);
    perror(adbd_path);
    _exit(127);
}

static void reap(int flags) {
    pid_t ended;
    while ((ended = waitpid(-1, NULL, flags)) > 0)
        if (ended == adbd) adbd = 0;
}

static void obey(char order) {
    if (order == 's') start_adbd();
    if (order == 'z' && adbd > 0) kill(adbd, SIGSTOP);
    if (order == 'c' && adbd > 0) kill(adbd, SIGCONT);
    if (order == 'k' && adbd > 0) {
        kill(adbd, SIGKILL);
        waitpid(adbd, NULL, 0);
        adbd = 0;
    }
    if (order == 'r') {
        kill(-1, SIGKILL);
        reap(0);
        for (int place = 0; place < listener_count; place++) relay(listeners[place]);
    }
    if (write(1, &order, 1) != 1) exit(0);
}

int main(int argc, char **argv) {
    if (argc < 5 || argc - 4 > MAX_LISTENERS) return 2;
    user = (uid_t)atoi(argv[1]);
    adbd_path = argv[2];
    port = atoi(argv[3]);
    for (int place = 4; place < argc; place++) listeners[listener_count++] = atoi(argv[place]);
    signal(SIGPIPE, SIG_IGN);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* as on a phone, a crash leaves no file */
    raise_loopback();
    for (int place = 0; place < listener_count; place++) relay(listeners[place]);
    int news_fd = signalfd(-1, &child, SFD_CLOEXEC);
    struct pollfd wanted[] = {{.fd = 0, .events = POLLIN}, {.fd = news_fd, .events = POLLIN}};
    for (;;) {
        if (poll(wanted, 2, -1) < 0) continue;
        if (wanted[1].revents) {
            struct signalfd_siginfo news;
            if (read(wanted[1].fd, &news, sizeof news) > 0) reap(WNOHANG);
        }
        if (wanted[0].revents) {
            char order;
            if (read(0, &order, 1) <= 0) return 0;
            obey(order);
        }
    }
}
