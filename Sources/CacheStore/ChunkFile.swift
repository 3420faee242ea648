// SPDX-License-Identifier: Apache-2.0
import Crypto
import Foundation

/// Makes the bytes of a chunk file.
enum ChunkFile {
    /// - Parameter secret: The key to encrypt with; nil for a plain file.
    static func bytes(
        _ link: ChunkLink, _ sections: [CacheSection], prefillSeconds: Double, created: Date, secret: SymmetricKey?
    ) -> [UInt8] {
        var tokens = link.tokens.withUnsafeBytes { Array($0) }
        var packed = sections.map { SectionPacking.pack($0.bytes) }
        var header = ChunkHeader(
            isEncrypted: secret != nil, fileBytes: 0, index: link.index,
            created: Int64((created.timeIntervalSince1970 * 1e6).rounded()), prefillSeconds: prefillSeconds,
            key: link.key, parent: link.parent, lineage: link.lineage, fingerprint: link.fingerprint, salt: link.salt,
            nonce: secret == nil ? CacheDigest() : ChunkCipher.freshNonce(),
            tokenCheck: Array(repeating: 0, count: ChunkHeader.checkBytes), tokens: tokens,
            sections: zip(sections, packed).map { section, packed in
                ChunkHeader.Section(
                    id: section.id, encoding: packed.encoding, stored: packed.bytes.count, raw: section.bytes.count,
                    check: [])
            })
        header.fileBytes = packed.reduce(header.bytes) { $0 + $1.bytes.count }
        if let secret {
            let cipher = ChunkCipher(secret: secret, nonce: header.nonce), context = header.cipherContext
            (tokens, header.tokenCheck) = cipher.seal(tokens, part: 0, context: context)
            header.tokens = tokens
            for index in packed.indices {
                (packed[index].bytes, header.sections[index].check) = cipher.seal(
                    packed[index].bytes, part: index + 1, context: context + header.sections[index].description)
            }
        } else {
            for index in packed.indices { header.sections[index].check = SectionPacking.check(packed[index].bytes) }
        }
        var out = header.serialized
        out.reserveCapacity(header.fileBytes)
        for section in packed { out.append(contentsOf: section.bytes) }
        return out
    }
}

/// An open chunk file. Reads by `pread` into memory of its own rather than by mapping: a mapped file that is shortened, or a
/// disk that fails, ends the process by a signal; a read that fails is a miss.
final class ChunkReader {
    let header: ChunkHeader
    let lastUsed: Date
    /// Tells this file from another that takes its name later.
    let inode: UInt64
    private let descriptor: Int32

    /// Opens a file and reads and checks its header.
    ///
    /// - Throws: ``CacheMiss``.
    init(path: String) throws(CacheMiss) {
        // Non-blocking and no links, so that what somebody puts into the directory cannot lead elsewhere.
        descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard descriptor >= 0 else { throw errno == ENOENT ? .absent : .unreadable }
        do throws(CacheMiss) {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw .unreadable }
            guard status.st_mode & S_IFMT == S_IFREG else { throw .format }
            inode = UInt64(status.st_ino)
            lastUsed = Date(
                timeIntervalSince1970: Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) / 1e9)
            let size = Int(status.st_size)
            guard size >= ChunkHeader.fixedBytes else { throw .partial }
            let fixed = try Self.read(descriptor, at: 0, count: ChunkHeader.fixedBytes)
            let lengths = try ChunkHeader.lengths(fixed)
            guard lengths.fileBytes == size else { throw .partial }
            header = try ChunkHeader(try Self.read(descriptor, at: 0, count: lengths.headerBytes), lengths)
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    /// The token ids.
    ///
    /// - Throws: ``CacheMiss/checksum`` where they are encrypted and `secret` is missing or another.
    func tokens(_ secret: SymmetricKey?) throws(CacheMiss) -> [Int32] {
        var bytes = header.tokens
        if let cipher = try cipher(secret) {
            bytes = try cipher.open(bytes, tag: header.tokenCheck, part: 0, context: header.cipherContext)
        }
        return (0..<bytes.count / 4).map { bytes.little(4 * $0, Int32.self) }
    }

    /// Reads and checks all sections.
    ///
    /// - Throws: ``CacheMiss``.
    func sections(_ secret: SymmetricKey?) throws(CacheMiss) -> [CacheSection] {
        let cipher = try cipher(secret), context = header.cipherContext
        var at = header.bytes, sections: [CacheSection] = []
        for (index, section) in header.sections.enumerated() {
            var bytes = try Self.read(descriptor, at: at, count: section.stored)
            if let cipher {
                bytes = try cipher.open(
                    bytes, tag: section.check, part: index + 1, context: context + section.description)
            } else {
                guard SectionPacking.check(bytes) == section.check else { throw .checksum }
            }
            bytes = try SectionPacking.unpack(bytes, section.encoding, count: section.raw)
            sections.append(CacheSection(id: section.id, bytes: bytes))
            at += section.stored
        }
        return sections
    }

    /// Notes that the chunk was used now: the file's time of modification says so to all processes.
    func touch() {
        // Where it fails the chunk merely looks less recently used.
        _ = futimens(descriptor, nil)
    }

    private func cipher(_ secret: SymmetricKey?) throws(CacheMiss) -> ChunkCipher? {
        guard header.isEncrypted else { return nil }
        guard let secret else { throw .checksum }
        return ChunkCipher(secret: secret, nonce: header.nonce)
    }

    private static func read(_ descriptor: Int32, at offset: Int, count: Int) throws(CacheMiss) -> [UInt8] {
        var failure: CacheMiss?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { target, done in
            done = 0
            while done < count, let base = target.baseAddress {
                let got = pread(descriptor, base + done, count - done, off_t(offset + done))
                if got < 0, errno == EINTR { continue }
                guard got > 0 else {
                    failure = got == 0 ? .partial : .unreadable
                    return
                }
                done += got
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
