// SPDX-License-Identifier: Apache-2.0
import Crypto
import Foundation

/// A numbered SQL file.
public struct Migration: Sendable, Hashable {
    /// From the name: `0007` is 7.
    public let version: Int
    /// The file's name between number and extension.
    public let name: String
    /// The statements.
    public let sql: String
    /// SHA-256 of the file's bytes in hexadecimal.
    public let checksum: String

    /// The file's name.
    public var fileName: String {
        String(repeating: "0", count: max(0, 4 - String(version).count)) + "\(version)_\(name).sql"
    }
}

extension Migration {
    /// The migrations in a directory, in order: files `NNNN_name.sql`, numbered from 1 without gaps. Other files that
    /// do not end in `.sql` are passed over. Throws `DatabaseError` for a misnamed, doubled, missing or unreadable one.
    public static func load(from directory: String) throws(DatabaseError) -> [Migration] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: directory)
        } catch {
            throw DatabaseError("The migrations in \(directory) cannot be listed: \(error.localizedDescription).")
        }
        var migrations: [Migration] = []
        for name in names.sorted() where name.hasSuffix(".sql") && !name.hasPrefix(".") {
            migrations.append(try read(name, in: directory))
        }
        for (index, migration) in migrations.enumerated() {
            if index > 0, migrations[index - 1].version == migration.version {
                throw DatabaseError(
                    "\(migrations[index - 1].fileName) and \(migration.fileName) in \(directory) have the same number;"
                        + " renumber the newer one.")
            }
            guard migration.version == index + 1 else {
                throw DatabaseError(
                    "Migration \(index + 1) is missing in \(directory), where \(migration.fileName) comes next."
                        + " Numbers start at 1 and have no gaps.")
            }
        }
        return migrations
    }

    private static func read(_ fileName: String, in directory: String) throws(DatabaseError) -> Migration {
        guard let match = fileName.wholeMatch(of: #/([0-9]{4})_([a-z0-9_]+)\.sql/#), let version = Int(match.1) else {
            throw DatabaseError(
                "\(fileName) in \(directory) is not named like a migration: four digits, an underscore, a name of small"
                    + " letters, digits and underscores, and .sql, as in 0001_queue.sql.")
        }
        guard let data = FileManager.default.contents(atPath: "\(directory)/\(fileName)"),
            let sql = String(validating: data, as: UTF8.self)
        else { throw DatabaseError("\(fileName) in \(directory) cannot be read as UTF-8 text.") }
        let checksum = SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined()
        return Migration(version: version, name: String(match.2), sql: sql, checksum: checksum)
    }
}
