/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "server/cluster_files.h"

#include <errno.h>
#include <stdio.h>

#include "control/control.h"
#include "io/file.h"

static bool refuse(char *why, size_t why_n, const char *name)
{
    snprintf(why, why_n, "cannot read %s: %s", name, strerror(errno));
    return false;
}

static bool read_identity(struct cluster_files *f, const char *name, char *why, size_t why_n)
{
    char *text = NULL;
    size_t n = 0;
    enum err err = file_load(name, &text, &n);
    if (err == ERR_NOT_FOUND)
        return true; /* never started */
    if (err != ERR_OK)
        return refuse(why, why_n, name);
    err = identity_get(&f->identity, slice_of(text, n));
    mem_free(text);
    if (err == ERR_OK)
        return true;
    snprintf(
        why, why_n,
        "%s does not say who this node is: %s. Bring the file back as it was; or begin with an "
        "empty directory, join the cluster anew and let it forget the old node",
        name, err_text(err));
    return false;
}

static bool read_raft(struct cluster_files *f, char *why, size_t why_n)
{
    struct file_list list;
    enum err err = file_list_dir(RAFT_DIR, &list);
    if (err == ERR_NOT_FOUND)
        return true;
    if (err != ERR_OK)
        return refuse(why, why_n, RAFT_DIR);
    bool good = true;
    for (size_t i = 0; i < list.files.n && good; i++) {
        char path[DISK_NAME_BYTES], *bytes = NULL;
        size_t n = 0;
        snprintf(path, sizeof(path), "%s/%s", RAFT_DIR, list.files.at[i].name);
        good = file_load(path, &bytes, &n) == ERR_OK || refuse(why, why_n, path);
        if (!good)
            break;
        *vec_add(&f->found) =
            (struct raft_found){slice_str(list.files.at[i].name), slice_of(bytes, n)};
        list.files.at[i].name = NULL; /* taken */
    }
    file_list_free(&list);
    return good;
}

bool cluster_files_read(struct cluster_files *f, const char *node_file, char *why, size_t why_n)
{
    if (!read_identity(f, node_file, why, why_n) || !read_raft(f, why, why_n))
        return false;
    char what[WIRE_WHY_BYTES];
    if (raft_file_load(&f->loaded, f->found.at, f->found.n) != ERR_OK)
        snprintf(why, why_n, "%s", f->loaded.text);
    else if (control_log_wrong(&f->loaded.saved, what) != ERR_OK)
        snprintf(why, why_n,
                 "the controllers' log is whole and not to be understood: %s. Start the version of "
                 "this program that wrote it",
                 what);
    else
        return true;
    return false;
}

void cluster_files_free(struct cluster_files *f)
{
    identity_free(&f->identity);
    raft_loaded_free(&f->loaded);
    for (size_t i = 0; i < f->found.n; i++) {
        mem_free((char *)f->found.at[i].name.p);
        mem_free((char *)f->found.at[i].bytes.p);
    }
    vec_free(&f->found);
}
