// What C can do with mo-sync's own ledger: cing.c's server, but it writes the rows that mo-sync writes, into the tables
// and indexes of a ledger that mo-sync made. It parses nothing and checks nothing.  cledger PORT LEDGER
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

typedef struct { int fd, n; char b[16384]; } Client;
static sqlite3 *db;
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
static const char NOW[] = "2026-11-23T16:16:17.579000Z";

static void run(const char *sql) {
    char *error = 0;
    if (sqlite3_exec(db, sql, 0, 0, &error)) { fprintf(stderr, "%s\n", error); exit(1); }
}

static sqlite3_stmt *prepared(const char *sql) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, 0)) { fprintf(stderr, "%s\n", sqlite3_errmsg(db)); exit(1); }
    return statement;
}

static void bind_text(sqlite3_stmt *statement, int place, const char *body, const char *name) {
    const char *at = strstr(body, name);
    if (!at) return;
    at = strchr(at + strlen(name), '"') + 1;
    sqlite3_bind_text(statement, place, at, strchr(at, '"') - at, SQLITE_STATIC);
}

static void step(sqlite3_stmt *statement) {
    if (sqlite3_step(statement) != SQLITE_DONE) { fprintf(stderr, "%s\n", sqlite3_errmsg(db)); exit(1); }
    sqlite3_reset(statement);
}

// As random as a hash of the body would be: the index on it is the dearest of all.
static const char *hash(const char *id) {
    static char text[65];
    unsigned long long h[4] = {14695981039346656037ULL, 1099511628211ULL, 88172645463325252ULL, 2463534242ULL};
    for (const char *c = id; *c && *c != '"'; c++)
        for (int i = 0; i < 4; i++) h[i] = (h[i] ^ (unsigned char)*c) * 1099511628211ULL + i, h[i] ^= h[i] >> 29;
    snprintf(text, sizeof text, "%016llx%016llx%016llx%016llx", h[0], h[1], h[2], h[3]);
    return text;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc < 3 || sqlite3_open(argv[2], &db)) return 1;
    run("pragma journal_mode=wal; pragma synchronous=FULL; pragma foreign_keys=on");
    sqlite3_stmt *begin = prepared("begin immediate"), *commit = prepared("commit");
    sqlite3_stmt *message = prepared(
        "insert into message(id,application_id,company_id,from_address,to_address,body,sender_id,av_status,occurred_at,"
        "recorded_at,filed_at) values(?1,?2,?3,?4,?5,?6,?7,?8,?9,?9,?9) on conflict do nothing");
    sqlite3_stmt *attachment = prepared(
        "insert into attachment(id,message_id,application_id,position,state,due_at,deadline_at,created_at,updated_at)"
        " values(?1,?2,?3,0,'pending',?4,?4,?4,?4) on conflict do nothing");
    sqlite3_stmt *event = prepared(
        "insert into event(event_key,content_key,source,topic,type,state,message_id,occurred_at,received_at,deliveries,"
        "payload) values(?1,?2,'relay','SCG-Message','mo_message_received','accepted',?3,?4,?4,1,?5)"
        " on conflict(event_key) do update set deliveries=deliveries+1");
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(0x7f000001);
    if (bind(listening, (void *)&address, sizeof address) || listen(listening, 4096)) { perror("bind"); return 1; }
    int poll = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = 0}, ready[512];
    epoll_ctl(poll, EPOLL_CTL_ADD, listening, &wanted);
    Client *kept[512];
    for (;;) {
        int count = epoll_wait(poll, ready, 512, -1), done = 0;
        for (int i = 0; i < count; i++) {
            Client *client = ready[i].data.ptr;
            if (!client) {
                int fd;
                while ((fd = accept4(listening, 0, 0, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    client = calloc(1, sizeof *client);
                    client->fd = fd;
                    struct epoll_event each = {.events = EPOLLIN, .data.ptr = client};
                    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &each);
                }
                continue;
            }
            ssize_t got = read(client->fd, client->b + client->n, sizeof client->b - 1 - client->n);
            if (got <= 0) {
                if (got < 0 && errno == EAGAIN) continue;
                close(client->fd);
                free(client);
                continue;
            }
            client->b[client->n += got] = 0;
            char *body = strstr(client->b, "\r\n\r\n"), *length = strcasestr(client->b, "content-length:");
            if (!body || !length || client->n < body + 4 - client->b + atoi(length + 15)) continue;
            body += 4;
            if (!done) step(begin);
            bind_text(message, 1, body, "\"message_id\":");
            bind_text(message, 2, body, "\"application_id\":");
            bind_text(message, 3, body, "\"company-id\":");
            bind_text(message, 4, body, "\"from_address\":");
            bind_text(message, 5, body, "\"to_address\":");
            bind_text(message, 6, body, "\"message_body\":");
            bind_text(message, 7, body, "\"sender_id_id\":");
            bind_text(message, 8, body, "\"anti_virus_scan_status\":");
            sqlite3_bind_text(message, 9, NOW, -1, SQLITE_STATIC);
            step(message);
            bind_text(attachment, 1, body, "\"attachment_ids\":");
            bind_text(attachment, 2, body, "\"message_id\":");
            bind_text(attachment, 3, body, "\"application_id\":");
            sqlite3_bind_text(attachment, 4, NOW, -1, SQLITE_STATIC);
            step(attachment);
            bind_text(event, 1, body, "\"event-id\":");
            sqlite3_bind_text(event, 2, hash(strstr(body, "\"event-id\":") + 12), 64, SQLITE_TRANSIENT);
            bind_text(event, 3, body, "\"message_id\":");
            sqlite3_bind_text(event, 4, NOW, -1, SQLITE_STATIC);
            sqlite3_bind_text(event, 5, body, client->n - (body - client->b), SQLITE_STATIC);
            step(event);
            client->n = 0;
            kept[done++] = client;
        }
        if (!done) continue;
        step(commit);
        for (int i = 0; i < done; i++)
            if (write(kept[i]->fd, ANSWER, sizeof ANSWER - 1) < 0) continue;
    }
}
