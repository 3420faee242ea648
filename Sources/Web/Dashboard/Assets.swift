// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The files of the page, which come with the program.
struct Assets: Sendable {
    struct File: Sendable {
        let bytes: [UInt8]
        let type: String
    }

    private let files: [String: File]

    /// Reads them from the program's resources: the folder `deltakv_Web.resources` beside the program.
    ///
    /// - Throws: ``WebError`` if a file is missing.
    init() throws(WebError) {
        let folder = Bundle.main.bundleURL.appendingPathComponent("deltakv_Web.resources/Page").path
        var files: [String: File] = [:]
        for (name, type) in Self.names {
            guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)") else {
                throw WebError(
                    "the dashboard's file \(folder)/\(name) is missing: install deltakv_Web.resources beside the program"
                )
            }
            files[name] = File(bytes: Array(data), type: type)
        }
        self.files = files
    }

    subscript(name: String) -> File? { files[name] }

    /// All files, with their types.
    static let names: [(String, String)] = [
        ("index.html", "text/html; charset=utf-8"), ("style.css", "text/css; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"), ("charts.js", "text/javascript; charset=utf-8"),
        ("tables.js", "text/javascript; charset=utf-8"), ("format.js", "text/javascript; charset=utf-8"),
        ("job.js", "text/javascript; charset=utf-8"), ("session.js", "text/javascript; charset=utf-8"),
        ("overview.js", "text/javascript; charset=utf-8"), ("verdict.js", "text/javascript; charset=utf-8"),
        ("chart.min.js", "text/javascript; charset=utf-8"), ("icon.svg", "image/svg+xml"),
    ]
}

/// Something that keeps a page from being served.
public struct WebError: Error, CustomStringConvertible {
    /// What is wrong and what to do.
    public let description: String

    init(_ description: String) { self.description = description }
}
