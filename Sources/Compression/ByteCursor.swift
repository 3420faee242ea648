// SPDX-License-Identifier: Apache-2.0

/// Writes numbers and arrays, little-endian.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put<Value: BitwiseCopyable>(_ value: Value) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    mutating func put<Value: BitwiseCopyable>(_ values: [Value]) {
        values.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    mutating func put(_ slice: ArraySlice<UInt8>) { bytes += slice }
}

/// Reads what a ``ByteWriter`` wrote; nil where the bytes end too early.
struct ByteReader {
    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { at == bytes.count }

    /// Bytes that were not read yet.
    var left: Int { bytes.count - at }

    mutating func take<Value: BitwiseCopyable>(_ type: Value.Type = Value.self) -> Value? {
        let size = MemoryLayout<Value>.size
        guard bytes.count - at >= size else { return nil }
        defer { at += size }
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: type) }
    }

    /// Bytes as they stand, without a copy.
    mutating func slice(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, bytes.count - at >= count else { return nil }
        defer { at += count }
        return bytes[at..<at + count]
    }

    mutating func take<Value: BitwiseCopyable>(_ count: Int, _ type: Value.Type = Value.self) -> [Value]? {
        let (size, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Value>.stride)
        guard count >= 0, !overflow, bytes.count - at >= size else { return nil }
        defer { at += size }
        return Array(unsafeUninitializedCapacity: count) { buffer, initialized in
            bytes.withUnsafeBytes { source in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[at..<at + size]))
            }
            initialized = count
        }
    }
}
