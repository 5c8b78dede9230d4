/* Load at a constant rate, whatever the server does:
 *
 *     openload HOST PORT REQUESTS CONNECTIONS RATE SECONDS
 *
 * Request n is due n / RATE seconds after the start. It is sent on a connection that waits for
 * no answer, the one used last; while all of them wait, it is sent as soon as one is free. Its
 * latency counts from the time it was due. A line a request is printed at the end: status (0: no
 * answer), microseconds from due to answered, microseconds from due to sent, whether the answer
 * has a Retry-After.
 *
 * REQUESTS holds whole HTTP requests, each behind its length in four bytes (little-endian).
 * In C, because the server and the load share the machine's cores: what the load takes from them
 * would be measured as the server's slowness.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES 16384
#define EVENTS 512
#define PATIENCE_S 5.0 /* after the last request is due */
#define CONNECT_TRIES 5

struct connection {
    int fd;
    int asked; /* the number of the request it waits for, -1 for none */
    int have;
    char answer[ANSWER_BYTES];
};
struct request {
    char *bytes;
    uint32_t length;
};
struct outcome {
    double due, sent, answered;
    int status, retry_after;
};

static struct sockaddr_in server;
static struct connection *connections;
static struct outcome *outcomes;
static int *idle, idle_count, epoll, waiting;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void join(int number) {
    struct connection *c = &connections[number];
    int one = 1, tries = 0;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    while (connect(c->fd, (struct sockaddr *)&server, sizeof server))
        if (++tries == CONNECT_TRIES) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
    c->asked = -1;
    c->have = 0;
}

/* The server closed a connection: its request stays without an answer, a new one takes its place. */
static void rejoin(int number) {
    struct connection *c = &connections[number];
    int was_waiting = c->asked >= 0;
    close(c->fd);
    join(number);
    if (was_waiting) {
        waiting--;
        idle[idle_count++] = number;
    }
}

static struct request *load(const char *path, int *count) {
    FILE *file = fopen(path, "rb");
    struct request *requests = NULL;
    uint32_t length;
    if (!file) die(path);
    for (*count = 0; fread(&length, 4, 1, file) == 1; ++*count) {
        requests = realloc(requests, (*count + 1) * sizeof *requests);
        requests[*count] = (struct request){malloc(length), length};
        if (fread(requests[*count].bytes, 1, length, file) != length) die("a short request");
    }
    fclose(file);
    return requests;
}

static void ask(int asked, const struct request *request, double due) {
    int number = idle[--idle_count];
    struct connection *c = &connections[number];
    outcomes[asked] = (struct outcome){.due = due, .sent = now_s()};
    c->asked = asked;
    waiting++;
    if (send(c->fd, request->bytes, request->length, MSG_NOSIGNAL) != (ssize_t)request->length) rejoin(number);
}

/* Whether all of an answer with a Content-Length is there; then `outcome` has its status. */
static int complete(const struct connection *c, struct outcome *outcome) {
    const char *end = memmem(c->answer, c->have, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *length = strcasestr(c->answer, "content-length:");
    if (!length || length > end || end + 4 - c->answer + atoi(length + 15) > c->have) return 0;
    const char *retry = strcasestr(c->answer, "retry-after:");
    outcome->status = atoi(c->answer + 9);
    outcome->retry_after = retry && retry < end;
    return 1;
}

static void take(int number) {
    struct connection *c = &connections[number];
    ssize_t got = recv(c->fd, c->answer + c->have, ANSWER_BYTES - 1 - c->have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0 || c->asked < 0) {
        rejoin(number);
        return;
    }
    c->have += got;
    c->answer[c->have] = 0;
    struct outcome *outcome = &outcomes[c->asked];
    if (!complete(c, outcome)) return;
    outcome->answered = now_s();
    c->asked = -1;
    c->have = 0;
    waiting--;
    idle[idle_count++] = number;
}

static void wait_for(double seconds) {
    struct epoll_event events[EVENTS];
    struct timespec most = {0, seconds <= 0 ? 0 : (long)(seconds * 1e9)};
    int count = epoll_pwait2(epoll, events, EVENTS, &most, NULL);
    for (int i = 0; i < count; i++) take(events[i].data.u32);
}

/* Ask once and wait: a connection that the server has not yet accepted would measure just that. */
static void greet(int number, const struct request *request) {
    struct connection *c = &connections[number];
    struct outcome ignored;
    if (send(c->fd, request->bytes, request->length, MSG_NOSIGNAL) != (ssize_t)request->length) die("send");
    while (!complete(c, &ignored)) {
        ssize_t got = recv(c->fd, c->answer + c->have, ANSWER_BYTES - 1 - c->have, 0);
        if (got <= 0) die("no answer to a first request");
        c->have += got;
        c->answer[c->have] = 0;
    }
    c->have = 0;
}

static int run(const struct request *requests, int kinds, int count, double rate, double seconds) {
    double begun = now_s(), now = begun;
    int sent = 0;
    while ((sent < count || waiting) && now < begun + seconds + PATIENCE_S) {
        double passed = (now - begun) * rate + 1;
        int due = passed < count ? (int)passed : count;
        for (; sent < due && idle_count; sent++) ask(sent, &requests[sent % kinds], begun + sent / rate);
        wait_for(sent < count && idle_count ? begun + sent / rate - now_s() : 0.001);
        now = now_s();
    }
    return sent;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "openload HOST PORT REQUESTS CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    int kinds, open = atoi(argv[4]);
    double rate = atof(argv[5]), seconds = atof(argv[6]);
    int count = (int)(rate * seconds);
    struct request *requests = load(argv[3], &kinds);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &server.sin_addr);
    prctl(PR_SET_TIMERSLACK, 1); /* nanoseconds: by itself a wait may end 50 us late */
    epoll = epoll_create1(0);
    connections = calloc(open, sizeof *connections);
    outcomes = calloc(count, sizeof *outcomes);
    idle = calloc(open, sizeof *idle);
    for (int number = 0; number < open; number++) {
        join(number);
        greet(number, &requests[0]);
        idle[idle_count++] = number;
    }
    int sent = run(requests, kinds, count, rate, seconds);
    for (int i = 0; i < sent; i++) {
        struct outcome *o = &outcomes[i];
        double taken = o->status ? o->answered - o->due : 0;
        printf("%d %.0f %.0f %d\n", o->status, taken * 1e6, (o->sent - o->due) * 1e6, o->retry_after);
    }
    return 0;
}
