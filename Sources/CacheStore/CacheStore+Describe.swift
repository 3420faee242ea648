// SPDX-License-Identifier: Apache-2.0

/// How a section lies in its file.
public struct SectionSummary: Sendable, Equatable, Codable {
    /// The section's id.
    public let id: UInt32
    /// Its bytes.
    public let bytes: Int
    /// Its bytes in the file.
    public let stored: Int
    /// `raw` or `lz4`.
    public let encoding: String
}

extension CacheStore {
    /// The chunks whose keys begin so, in the catalogue.
    public func entries(beginning prefix: String) -> [CacheEntry] {
        entries.filter { $0.key.description.hasPrefix(prefix) }
    }

    /// The sections of a chunk, as its header says.
    ///
    /// - Throws: ``CacheMiss``.
    public func sections(of key: ChunkKey) throws(CacheMiss) -> [SectionSummary] {
        try ChunkReader(path: directory.chunk(key)).header.sections.map {
            SectionSummary(id: $0.id, bytes: $0.raw, stored: $0.stored, encoding: "\($0.encoding)")
        }
    }

    /// Removes a chunk, unless it is in use. Chunks after it cannot be reached then, until it is written again.
    ///
    /// - Returns: Whether it is gone.
    public func remove(_ key: ChunkKey) -> Bool { remove(key, if: { true }) }
}
