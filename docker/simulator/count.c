/* A plugin for qemu-user's TCG: counts the guest's instructions between marks that the guest itself sets.
 *
 * A mark is the system call getpriority(MARK, number), which the kernel refuses and nothing else makes. At each one the
 * plugin prints "MARK number instructions", counted on all threads since the start. Built by cost.py:
 *     cc -shared -fPIC -O2 -o count.so count.c
 *
 * Debian ships no qemu-plugin.h; what is used of it is declared here (QEMU manual, "QEMU TCG Plugins", API version 1,
 * unchanged since). The symbols come from the qemu that loads this.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION 1
#endif
#define EXPORT __attribute__((visibility("default")))
#define MARK 0x0b5e
#define GETPRIORITY_AARCH64 141

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
typedef struct qemu_info_t qemu_info_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

typedef void (*tb_translated)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*tb_executed)(unsigned int vcpu, void *data);
typedef void (*system_call)(qemu_plugin_id_t, unsigned int vcpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t,
                            uint64_t, uint64_t, uint64_t, uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_translated);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, tb_executed, enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, system_call);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_outs(const char *);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

static uint64_t counted;

static void executed(unsigned int vcpu, void *instructions)
{
    (void)vcpu;
    __atomic_fetch_add(&counted, (uintptr_t)instructions, __ATOMIC_RELAXED);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void called(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t which, uint64_t who, uint64_t a3,
                   uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    char line[80];

    (void)id, (void)vcpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == GETPRIORITY_AARCH64 && which == MARK) {
        snprintf(line, sizeof line, "MARK %" PRIu64 " %" PRIu64 "\n", who, __atomic_load_n(&counted, __ATOMIC_RELAXED));
        qemu_plugin_outs(line);
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
