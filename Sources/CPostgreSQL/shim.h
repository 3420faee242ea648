// SPDX-License-Identifier: Apache-2.0
#ifndef DELTAKV_CPOSTGRESQL_SHIM_H
#define DELTAKV_CPOSTGRESQL_SHIM_H

#include <libpq-fe.h>

#endif
