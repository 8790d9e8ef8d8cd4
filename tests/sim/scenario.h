/* SPDX-License-Identifier: BSD-3-Clause */

/* A scenario: what happens, line by line, and below "----" exactly what is to be seen. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

int scenario_run(const char *path); /* prints TAP; the exit code */

#endif
