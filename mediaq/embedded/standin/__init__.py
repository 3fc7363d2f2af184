"""The AWS stand-in: a small server that speaks the protocols of the services that mediaq calls.

It is for development, tests and demonstrations. It reads the media from S3, enforces the limits of the
services, runs asynchronous jobs, and keeps a ledger of what AWS would have billed (`GET /_standin/calls`).
Faults are injected at `POST /_standin/faults`; jobs at once and calls per second are limited as
`PUT /_standin/limits` says. Signatures are not checked. Where it is given SQS queues, notices of the ends of
asynchronous jobs go to them, as by SNS and EventBridge (see `notices`).

There is no model behind it. What it answers is computed from the object or the text, by these rules:

- DetectLabels, GetLabelDetection: names of the colours that cover a tenth of the image or more, its
  orientation, and `Dark` or `Bright`. A film is sampled every half second; of films longer than 30 seconds,
  key frames only.
- DetectText: the text that the file declares (EXIF ImageDescription; PNG text chunks Title, Description,
  Comment and Text), laid out from top to bottom. Nothing is read from the pixels.
- DetectFaces: connected areas of skin-like colour, whatever they show. Age, emotions, pose and landmarks are
  left out.
- DetectModerationLabels: half the image or more in skin-like colour, or in red.
- DetectSentiment: the lexicon VADER (English). DetectDominantLanguage: the classifier py3langid; Chinese is
  zh-TW where Big5 has more of its characters than GB 2312.
- DetectEntities, DetectKeyPhrases: patterns and English stop words.
- Transcribe: the words of the recording's `comment` or `title` metadata, spread over its length; without them
  a description of the loudness, and of silence nothing. The language is py3langid's guess from those words.
- Embeddings: hashes of words and of their trigrams, or of the colours on a grid; like contents lie near one
  another. Token counts are an estimate; the count that is answered is the one that is billed.
"""

from mediaq.embedded.standin.app import create_app
from mediaq.embedded.standin.invocations import Limits

__all__ = ["Limits", "create_app"]
