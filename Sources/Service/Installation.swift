// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The files that come with the program: migrations and job templates.
public struct Installation: Sendable {
    /// The directory that holds `Migrations` and `Jobs`.
    public let directory: String

    /// The SQL files.
    public var migrations: String { directory + "/Migrations" }
    /// The job templates.
    public var jobs: String { directory + "/Jobs" }
    /// A text of our own that calibration falls back on.
    public var calibrationSample: String { jobs + "/calibration-sample.txt" }

    /// Finds the files: in `DELTAKV_SHARE`, else in `share/deltakv` beside the program's `bin`, else in the source
    /// checkout that the program was built in.
    ///
    /// - Throws: ``SettingsError`` if none of these holds them.
    public init(
        environment: [String: String] = ProcessInfo.processInfo.environment, executable: String? = nil
    ) throws(SettingsError) {
        if let named = environment["DELTAKV_SHARE"], !named.isEmpty {
            guard Self.isComplete(named) else {
                throw SettingsError(
                    description: "DELTAKV_SHARE is \(named), which holds no Migrations and Jobs: correct it or unset it"
                )
            }
            directory = named
            return
        }
        let program = URL(fileURLWithPath: executable ?? Self.ownPath).resolvingSymlinksInPath()
        var folder = program.deletingLastPathComponent()
        let shared = folder.deletingLastPathComponent().appendingPathComponent("share/deltakv")
        if Self.isComplete(shared.path) {
            directory = shared.path
            return
        }
        while folder.path != "/" {
            if Self.isComplete(folder.path) {
                directory = folder.path
                return
            }
            folder = folder.deletingLastPathComponent()
        }
        throw SettingsError(
            description: "the program's Migrations and Jobs were not found near \(program.path): set DELTAKV_SHARE")
    }

    private static var ownPath: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    }

    private static func isComplete(_ directory: String) -> Bool {
        ["Migrations", "Jobs"].allSatisfy { name in
            var isDirectory: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(directory)/\(name)", isDirectory: &isDirectory)
                && isDirectory.boolValue
        }
    }
}
