/* SPDX-License-Identifier: BSD-3-Clause */
const char *store_upward(void);
