// SPDX-License-Identifier: Apache-2.0
import Crypto

extension ChunkHeader {
    /// The first ``fixedBytes``.
    var fixedPart: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes)
        out.append(contentsOf: Self.magic)
        out.append(little: Self.version)
        out.append(little: UInt32(isEncrypted ? 1 : 0))
        out.append(little: UInt64(fileBytes))
        out.append(little: UInt32(index))
        out.append(little: UInt32(tokenCount))
        out.append(little: UInt32(sections.count))
        out.append(little: UInt32(0))
        out.append(little: UInt64(bitPattern: created))
        out.append(little: prefillSeconds.bitPattern)
        out.append(little: UInt64(0))
        for digest in [key.digest, parent.digest, lineage.digest, fingerprint.digest, salt.digest, nonce] {
            out.append(contentsOf: digest.bytes)
        }
        out.append(contentsOf: tokenCheck)
        return out
    }

    /// The whole header with its checksum.
    var serialized: [UInt8] {
        var out = fixedPart
        out.append(contentsOf: tokens)
        for section in sections { out.append(contentsOf: section.serialized) }
        out.append(contentsOf: SHA256.hash(data: out))
        return out
    }

    /// What the fixed part says of the lengths: checked before anything is read by them.
    struct Lengths {
        let fileBytes: Int
        let tokens: Int
        let sections: Int

        var headerBytes: Int { ChunkHeader.bytes(tokens: tokens, sections: sections) }
    }

    /// Reads lengths from the first ``fixedBytes`` of a file.
    static func lengths(_ fixed: [UInt8]) throws(CacheMiss) -> Lengths {
        guard fixed.count >= fixedBytes else { throw .partial }
        guard fixed[..<8].elementsEqual(magic), fixed.little(8, UInt32.self) == version else { throw .format }
        let fileBytes = fixed.little(16, UInt64.self)
        let tokens = Int(fixed.little(28, UInt32.self)), sections = Int(fixed.little(32, UInt32.self))
        guard tokens >= 1, tokens <= mostTokens, sections >= 1, sections <= mostSections else { throw .format }
        guard let whole = Int(exactly: fileBytes), whole >= bytes(tokens: tokens, sections: sections) else {
            throw .format
        }
        return Lengths(fileBytes: whole, tokens: tokens, sections: sections)
    }

    /// Reads the header of a whole file.
    init(of file: [UInt8]) throws(CacheMiss) {
        let lengths = try Self.lengths(file)
        guard file.count == lengths.fileBytes else { throw .partial }
        try self.init(Array(file[..<lengths.headerBytes]), lengths)
    }

    /// Reads a header from the bytes that ``Lengths/headerBytes`` says.
    init(_ data: [UInt8], _ lengths: Lengths) throws(CacheMiss) {
        precondition(data.count == lengths.headerBytes)
        let body = data[..<(data.count - Self.checksumBytes)]
        guard SHA256.hash(data: body).elementsEqual(data[body.count...]) else { throw .checksum }
        let flags = data.little(12, UInt32.self), index = data.little(24, UInt32.self)
        let seconds = Double(bitPattern: data.little(48, UInt64.self))
        guard flags <= 1, index <= Int32.max, data.little(36, UInt32.self) == 0, data.little(56, UInt64.self) == 0,
            seconds.isFinite, seconds >= 0
        else { throw .format }
        func digest(_ number: Int) -> CacheDigest { CacheDigest(data[(64 + 32 * number)..<(96 + 32 * number)]) }
        let tokens = Array(body[Self.fixedBytes..<(Self.fixedBytes + 4 * lengths.tokens)])
        self.init(
            isEncrypted: flags == 1, fileBytes: lengths.fileBytes, index: Int(index),
            created: Int64(bitPattern: data.little(40, UInt64.self)), prefillSeconds: seconds,
            key: ChunkKey(digest: digest(0)), parent: ChunkKey(digest: digest(1)), lineage: Lineage(digest: digest(2)),
            fingerprint: CacheFingerprint(digest: digest(3)), salt: SaltTag(digest: digest(4)), nonce: digest(5),
            tokenCheck: Array(body[256..<Self.fixedBytes]), tokens: tokens,
            sections: try Self.sections(Array(body[(Self.fixedBytes + tokens.count)...])))
        guard sections.reduce(bytes, { $0 + $1.stored }) == fileBytes, Set(sections.map(\.id)).count == sections.count
        else { throw .format }
    }

    private static func sections(_ table: [UInt8]) throws(CacheMiss) -> [Section] {
        var sections: [Section] = []
        for at in stride(from: 0, to: table.count, by: entryBytes) {
            let stored = table.little(at + 8, UInt64.self), raw = table.little(at + 16, UInt64.self)
            guard let encoding = Encoding(rawValue: table.little(at + 4, UInt32.self)),
                stored <= mostSectionBytes, raw <= mostSectionBytes, encoding.allows(stored: Int(stored), raw: Int(raw))
            else { throw .format }
            sections.append(
                Section(
                    id: table.little(at, UInt32.self), encoding: encoding, stored: Int(stored), raw: Int(raw),
                    check: Array(table[(at + 24)..<(at + entryBytes)])))
        }
        return sections
    }
}

extension ChunkHeader.Section {
    /// The entry without its checksum.
    var description: [UInt8] {
        var out: [UInt8] = []
        out.append(little: id)
        out.append(little: encoding.rawValue)
        out.append(little: UInt64(stored))
        out.append(little: UInt64(raw))
        return out
    }

    var serialized: [UInt8] { description + check }
}

extension ChunkHeader.Encoding {
    /// Whether so many bytes can come of so many, before memory is set aside for them. LZ4 makes 255 of one at most.
    func allows(stored: Int, raw: Int) -> Bool {
        switch self {
        case .raw: stored == raw
        case .lz4: stored > 0 && stored < raw && raw / 255 <= stored
        }
    }
}

extension Array where Element == UInt8 {
    mutating func append<Value: FixedWidthInteger>(little value: Value) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// A little-endian number; traps beyond the end, which callers have checked.
    func little<Value: FixedWidthInteger>(_ at: Int, _ type: Value.Type) -> Value {
        precondition(at >= 0 && at + MemoryLayout<Value>.size <= count)
        return withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: type)) }
    }
}
