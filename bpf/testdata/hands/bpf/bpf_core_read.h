/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* There is no kernel to read from. */
#define BPF_CORE_READ(...) 0
#define BPF_CORE_READ_INTO(...) 0
#define bpf_core_field_exists(...) 0
#define bpf_core_enum_value_exists(...) 0
#define bpf_core_type_size(...) 0
