// SPDX-License-Identifier: Apache-2.0
import CKernels

/// The allocator's memory.
public enum Heap {
    /// Gives memory that is not in use back to the system. What was freed between other things stays with the allocator otherwise.
    public static func trim() { dkv_trim_heap() }
}
