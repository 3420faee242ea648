// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// The texts that `deltakv eval` scores: the user's, else long chapters of Perl's manual, which Debian's perl-doc holds.
///
/// None of the defaults is among the texts that `ops/demo` submits or calibration takes by itself.
struct EvaluationTexts {
    static let chapters = [
        "perlretut", "perlipc", "perlglossary", "perlport", "perlpodspec", "perlebcdic", "perlsub", "perllocale",
    ]

    /// Names and contents, in order.
    let texts: [(name: String, text: String)]

    /// Reads `files`, or if there are none the first `count` default texts.
    ///
    /// - Throws: `ValidationError` for a file that is no text, and if there are no default texts.
    init(files: [String], count: Int) throws {
        let paths = files.isEmpty ? Array(Self.defaults().prefix(count)) : files
        guard !paths.isEmpty else {
            throw ValidationError(
                "there is no text to evaluate on: install the package perl-doc (Debian), or name files with --text")
        }
        texts = try paths.map { path in
            guard let data = FileManager.default.contents(atPath: path) else {
                throw ValidationError("the text \(path) cannot be read: check the path")
            }
            guard let text = String(validating: data, as: UTF8.self) else {
                throw ValidationError("the text \(path) is not valid UTF-8")
            }
            return (URL(fileURLWithPath: path).lastPathComponent, text)
        }
    }

    private static func defaults() -> [String] {
        let root = "/usr/share/perl"
        let versions = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).sorted()
        return chapters.compactMap { chapter in
            versions.map { "\(root)/\($0)/pod/\(chapter).pod" }.first { FileManager.default.isReadableFile(atPath: $0) }
        }
    }
}
