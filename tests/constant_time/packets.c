/* Unwrapping and building Sphinx packets. */
#include <string.h>

#include "subjects.h"

enum { HOPS = 2, PAYLOAD = FM_WAN_DATA_SIZE + FM_PAYLOAD_TAG_SIZE, STRIDE = FM_WAN_PACKET_SIZE };

static const uint32_t SLOTS[LANES_MAX] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static struct fm_unwrap_scratch unwrap_scratch;
static struct fm_build_scratch build_scratch;

struct building {
    size_t n;
    uint8_t publics[LANES_MAX][HOPS][32], ids[LANES_MAX][FM_SURB_ID_SIZE], faults[LANES_MAX];
    uint16_t targets[LANES_MAX];
    struct {
        uint8_t seed[32];
        uint8_t data[LANES_MAX][FM_WAN_DATA_SIZE];
    } secrets;
    uint8_t packets[LANES_MAX][STRIDE];
    uint8_t surbs[LANES_MAX][FM_SURB_SIZE];
    uint8_t keys[LANES_MAX][HOPS][FM_PAYLOAD_KEY_SIZE];
    uint8_t payloads[LANES_MAX][PAYLOAD], ok[LANES_MAX];
};

static struct fm_route route_of(struct building *b, uint16_t last_action)
{
    return (struct fm_route){
        .hops = HOPS,
        .publics = b->publics[0][0],
        .targets = b->targets,
        .last_action = last_action,
        .ids = b->ids[0],
        .seed = b->secrets.seed,
        .faults = b->faults,
    };
}

static void public_of(const struct fm_kernels *k, uint8_t public[32], const uint8_t secret[32])
{
    static const uint8_t base[32] = {9};
    const uint8_t *point = base;
    k->x25519(&public, &secret, &point, 1);
}

static void building_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    struct building *b = state;
    uint8_t secret[32];
    memset(b, 0, sizeof *b);
    public_fill(secret, sizeof secret);
    public_of(k, b->publics[0][0], secret);
    for (size_t i = 0; i < LANES_MAX * HOPS; i++) memcpy(b->publics[i / HOPS][i % HOPS], b->publics[0][0], 32);
    source_fill(secrets, &b->secrets, sizeof b->secrets);
}

static void requests_run(const struct fm_kernels *k, void *state)
{
    struct building *b = state;
    const struct fm_route route = route_of(b, FM_ACTION_DELIVER_REQUEST);
    fm_build_packets(k, &route, b->secrets.data[0], b->packets[0], STRIDE, PAYLOAD, &build_scratch, b->n);
    for (size_t i = 0; i < b->n; i++) require(b->faults[i] == 0, "a packet was not built");
}

static void surbs_run(const struct fm_kernels *k, void *state)
{
    struct building *b = state;
    const struct fm_route route = route_of(b, FM_ACTION_DELIVER_REPLY);
    fm_build_surbs(k, &route, b->targets, b->surbs[0], b->keys[0][0], &build_scratch, b->n);
    for (size_t i = 0; i < b->n; i++) require(b->faults[i] == 0, "a SURB was not built");
}

/* A reply made of each SURB, and opened as its maker would if the hops had not touched it. */
static void replies_run(const struct fm_kernels *k, void *state)
{
    struct building *b = state;
    surbs_run(k, state);
    fm_build_replies(k, b->secrets.data[0], b->surbs[0], b->packets[0], STRIDE, PAYLOAD, &build_scratch, b->n);
    for (size_t i = 0; i < b->n; i++) {
        memcpy(b->payloads[i], b->packets[i] + FM_HEADER_SIZE, PAYLOAD);
        fm_open_replies(k, b->payloads[i], b->keys[i][0], 1, b->ok + i, PAYLOAD, 1);
    }
}

struct unwrapping {
    size_t n;
    struct {
        uint8_t node[32], replay_key[32];
    } secrets;
    uint8_t packets[LANES_MAX][STRIDE];
    uint8_t verdict[LANES_MAX], tag[LANES_MAX][FM_TAG_SIZE], peer_id[LANES_MAX][FM_PEER_ID_SIZE];
    uint8_t surb_id[LANES_MAX][FM_SURB_ID_SIZE];
    uint16_t action[LANES_MAX], next_index[LANES_MAX];
    double delay[LANES_MAX];
};

/* Packets that this node accepts, whatever its secret: else the verdict would tell the two classes apart. */
static void unwrapping_make(const struct fm_kernels *k, struct unwrapping *u, struct source *secrets, size_t hops)
{
    static struct building building;
    struct building *b = &building;
    building_make(k, b, secrets);
    source_fill(secrets, &u->secrets, sizeof u->secrets);
    for (size_t i = 0; i < LANES_MAX; i++) {
        uint8_t *public = hops == HOPS ? b->publics[i][0] : b->publics[0][0] + 32 * i;
        public_of(k, public, u->secrets.node);
    }
    struct fm_route route = route_of(b, FM_ACTION_DELIVER_REQUEST);
    route.hops = hops;
    fm_build_packets(k, &route, b->secrets.data[0], u->packets[0], STRIDE, PAYLOAD, &build_scratch, LANES_MAX);
}

static void forward_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    unwrapping_make(k, state, secrets, HOPS);
}

static void deliver_make(const struct fm_kernels *k, void *state, struct source *secrets)
{
    unwrapping_make(k, state, secrets, 1);
}

static struct fm_unwrap unwrap_of(struct unwrapping *u)
{
    return (struct fm_unwrap){
        .packets = u->packets[0],
        .stride = STRIDE,
        .payload_size = PAYLOAD,
        .secret = u->secrets.node,
        .replay_key = u->secrets.replay_key,
        .columns = {u->verdict, u->action, u->next_index, u->delay, u->peer_id[0], u->surb_id[0], u->tag[0]},
        .scratch = &unwrap_scratch,
    };
}

static void check_run(const struct fm_kernels *k, void *state)
{
    struct unwrapping *u = state;
    const struct fm_unwrap unwrap = unwrap_of(u);
    fm_unwrap_check(k, &unwrap, SLOTS, u->n);
    for (size_t i = 0; i < u->n; i++) require(u->verdict[i] == FM_OK, "a packet was not accepted");
}

static void apply_run(const struct fm_kernels *k, void *state)
{
    struct unwrapping *u = state;
    const struct fm_unwrap unwrap = unwrap_of(u);
    fm_unwrap_apply(k, &unwrap, SLOTS, u->n);
    for (size_t i = 0; i < u->n; i++) require(u->verdict[i] == FM_OK, "a packet was not unwrapped");
}

#define BUILDING(name, result, run)                                                                               \
    {name, sizeof(struct building), BYTES_OF(struct building, secrets), BYTES_OF(struct building, result),       \
     building_make, NULL, run}
#define UNWRAPPING(name, result, make, before, run)                                                               \
    {name, sizeof(struct unwrapping), BYTES_OF(struct unwrapping, secrets), BYTES_OF(struct unwrapping, result), \
     make, before, run}

const struct subject PACKETS[] = {
    UNWRAPPING("unwrap_check", tag, forward_make, NULL, check_run),
    UNWRAPPING("unwrap_apply_forward", packets, forward_make, check_run, apply_run),
    UNWRAPPING("unwrap_apply_deliver", packets, deliver_make, check_run, apply_run),
    BUILDING("build_requests", packets, requests_run),
    BUILDING("build_surbs", surbs, surbs_run),
    BUILDING("replies", payloads, replies_run),
    {NULL},
};
