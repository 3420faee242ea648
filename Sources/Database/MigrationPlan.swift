// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A migration as the database remembers it.
public struct AppliedMigration: Sendable, Hashable {
    /// Number of the migration.
    public let version: Int
    /// Its name.
    public let name: String
    /// SHA-256 of the file that was applied, in hexadecimal.
    public let checksum: String
    /// When it was applied.
    public let appliedAt: Date
}

/// One line of a listing of migrations.
public struct MigrationStatus: Sendable, Hashable {
    /// Number of the migration.
    public let version: Int
    /// Its name.
    public let name: String
    /// When it was applied; nil while it is pending.
    public let appliedAt: Date?
}

/// Compares the files with what the database remembers.
enum MigrationPlan {
    /// The files that are still to be applied, in order. Both lists are in order. Throws when the database has a history
    /// other than the files'.
    static func pending(
        _ files: [Migration], applied: [AppliedMigration], directory: String
    ) throws(DatabaseError) -> [Migration] {
        for (index, record) in applied.enumerated() {
            guard index < files.count else {
                throw DatabaseError(
                    "The database is newer than this deltakv: it has migration \(record.version) (\(record.name)), and"
                        + " the files in \(directory) end at \(files.count). Use the deltakv that the database was migrated with,"
                        + " or a later one.")
            }
            let file = files[index]
            guard file.version == record.version else {
                throw DatabaseError(
                    "The database has no record of migration \(file.version) (\(file.name)), but has one of \(record.version),"
                        + " which comes later. The table deltakv.migrations was changed by hand; repair it.")
            }
            guard file.checksum == record.checksum else {
                throw DatabaseError(
                    "\(file.fileName) was changed after it had been applied (as \(record.name), SHA-256"
                        + " \(record.checksum.prefix(12))…, now \(file.checksum.prefix(12))…). Restore the file in"
                        + " \(directory), and put the change into a new migration.")
            }
        }
        return Array(files.dropFirst(applied.count))
    }
}
