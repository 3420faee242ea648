// SPDX-License-Identifier: Apache-2.0
#ifndef DELTAKV_CLZ4_SHIM_H
#define DELTAKV_CLZ4_SHIM_H

#include <lz4.h>

#endif
