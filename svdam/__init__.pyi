# What `import svdam` offers: lazy_loader reads this file, and so do type checkers.
from .audio.decoding import load_audio as load_audio
from .audio.front_ends import get_front_end as get_front_end
from .audio.inversion import log_mel_to_audio as log_mel_to_audio
from .audio.log_mel import log_mel_spectrogram as log_mel_spectrogram
from .evaluation.detection import evaluate as evaluate
from .evaluation.frechet import frechet_distance as frechet_distance
from .evaluation.frechet import frechet_distance_of_samples as frechet_distance_of_samples
from .explain.maximization import maximize as maximize
from .explain.starts import latents_from_seeds as latents_from_seeds
from .models.bridge import build_bridge as build_bridge
from .models.classifier import build_svdnet as build_svdnet
from .models.critic import build_critic as build_critic
from .models.generator import build_generator as build_generator
from .models.loading import load_model as load_model
from .results.examples import read_results as read_results
from .results.explanations import read_explanations as read_explanations
from .results.rankings import read_ranking as read_ranking
from .results.responses import read_responses as read_responses
from .stages.explain_classifier import ExplainSettings as ExplainSettings
from .stages.explain_classifier import explain_classifier as explain_classifier

__version__: str
