/** Titles of the columns by name, as the map, tables and axes show them; a column that is missing here keeps its own title. */
export const chineseColumns: Readonly<Record<string, string>> = {
  l1: 'L1 范数', l2: 'L2 范数', weightMean: '权重均值', weightDeviation: '权重标准差', weightMax: '最大权重', nearZero: '接近零的权重',
  parameters: '参数', macs: '乘加运算', twin: '最相似的粒子', twinCosine: '与最相似粒子的相似度', effectiveRank: '层的有效秩',
  activationMean: '平均激活', activationDeviation: '激活标准差', activationMinimum: '最小激活', activationMaximum: '最大激活',
  sparsity: '零输出的比例', deadShare: '不激活样本的比例', activationEntropy: '激活熵', classSelectivity: '类别选择性', preferredClass: '偏好的类别',
  labelInformation: '关于标签的信息', outputCorrelation: '与输出的相关', correlatedOutput: '相关的输出', activationTwin: '最相关的粒子', activationCorrelation: '与其的相关',
  cluster: '可互换粒子的簇', clusterSize: '簇中的粒子数', activationRank: '输出的有效秩', mapX: '分布图第一分量', mapY: '分布图第二分量', probeAccuracy: '线性探针的准确率',
  strongestTarget: '最强的目标', connectionStrength: '与目标的连接', attentionEntropy: '注意力熵', previousTokenShare: '对前一词元的注意力', firstTokenShare: '对首个词元的注意力',
  inputGateSaturation: '输入门的饱和', forgetGateSaturation: '遗忘门的饱和', outputGateSaturation: '输出门的饱和', updateGateSaturation: '更新门的饱和', resetGateSaturation: '重置门的饱和',
  memoryLength: '记忆长度', scoreShare: '预测得分的份额', contribution: '贡献', contributedOutput: '贡献最大的输出', outputContributionShare: '该输出的份额',
  gradientActivation: '梯度 × 激活', taylorImportance: '泰勒重要性', taylorLossChange: '去掉后的损失（二阶）', integratedGradients: '积分梯度', conductance: '传导',
  estimatedLossChange: '去掉后的损失（估计）', estimatedMetricChange: '去掉后的指标（估计）', ablationLossChange: '去掉后的损失', ablationMetricChange: '去掉后的指标',
  ablationOutputChange: '输出的最大变化', ablationDivergence: '去掉后输出的散度', meanAblationLossChange: '换为均值后的损失', meanAblationMetricChange: '换为均值后的指标',
  meanAblationOutputChange: '换为均值后输出的最大变化', meanAblationDivergence: '换为均值后输出的散度', resampleAblationLossChange: '换为另一样本后的损失',
  resampleAblationMetricChange: '换为另一样本后的指标', resampleAblationOutputChange: '换为另一样本后输出的最大变化', resampleAblationDivergence: '换为另一样本后输出的散度',
  synergyPartner: '最强的搭档', synergy: '最强的协同', strongestGroup: '最重要的噪声级别（组）', groupContrast: '噪声级别（组）间的反差',
};
